"""Which cells each experiment asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tactic.reproduce.cell import Cell
from tactic.reproduce.codecs import Agnostic, Aware, Drawn
from tactic.reproduce.cost import Cost
from tactic.reproduce.heads import CleanHead, Uncompressed
from tactic.reproduce.learned import Learned
from tactic.reproduce.ours import PARTS, OneLevel, OurCodec, Shorter
from tactic.reproduce.preset import Preset
from tactic.reproduce.rivals import File
from tactic.reproduce.shortened import Shortened
from tactic_codec import nest

#: the rate level at which parts are left out
PARTS_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Cells:
    """Makes the cells of a preset.

    Everything that is compared gets the same schedule, ``preset.tune``, on the same photos, and
    starts from the same head of its seed.
    """

    preset: Preset
    start: Path | None = None

    gamma: float | None = None
    """Of heads that segment: the loss, eq. 10."""

    def clean(self, seed: int) -> CleanHead:
        """The head on uncompressed photos, before anything is compared."""
        p = self.preset
        return CleanHead(seed=seed, photos=p.photos, head=p.head, clean=p.clean, gamma=self.gamma)

    def uncompressed(self, seed: int) -> Uncompressed:
        """That head, tuned further."""
        return Uncompressed(seed=seed, clean=self.clean(seed), tune=self.preset.tune)

    def file(self, codec: str, quality: int, scale: float, seed: int) -> File:
        """JPEG, WebP or AVIF."""
        return File(
            seed=seed,
            clean=self.clean(seed),
            codec=codec,
            quality=quality,
            scale=scale,
            tune=self.preset.tune,
        )

    def agnostic(self, beta: float, seed: int) -> Learned:
        """The paper's codec, trained without the task."""
        return self._learned(self._agnostic_codec(beta, seed))

    def patient(self, beta: float, seed: int) -> Learned:
        """The same, its head tuned for as many steps as an aware one is trained and tuned."""
        tune, steps = self.preset.tune, self.preset.train.steps
        longer = tune.model_copy(update={"steps": steps + tune.steps})
        codec = self._agnostic_codec(beta, seed)
        update = {"tune": longer, "patient": True}
        return self._learned(codec).model_copy(update=update)

    def aware(self, beta: float, seed: int) -> Learned:
        """The paper's codec, trained with the task."""
        p = self.preset
        codec = Aware(
            seed=seed,
            photos=p.photos,
            head=p.head,
            workers=p.workers,
            drawn=self._drawn(seed),
            clean=self.clean(seed),
            beta=beta,
            train=p.train,
        )
        return self._learned(codec)

    def ours(self, seed: int) -> list[Learned]:
        """Our codec at each of its rate levels."""
        codec = self._our_codec(seed)
        return [self._learned(codec, level) for level in range(codec.levels)]

    def cut(self, seed: int) -> list[Learned]:
        """A part of the bytes of each of them that has layers to leave off."""
        return [
            whole.model_copy(update={"share": share})
            for whole in self.ours(seed)
            if _has_layers(whole)
            for share in self.preset.shares
        ]

    def one_level(self, seed: int, level: int) -> Learned:
        """Our codec, trained for this rate level alone."""
        parts = dict(self._our_codec(seed))
        codec = OneLevel(**parts, level=level, share=self.preset.one_level_share)
        return self._learned(codec, level)

    def shorter(self, seed: int, without: str | None) -> list[Learned]:
        """Our codec trained for less long: whole at every level, or without a part at one."""
        parts = dict(self._our_codec(seed))
        codec = Shorter(**parts, without=without, share=self.preset.parts_share)
        levels = (PARTS_LEVEL,) if without else range(codec.levels)
        return [self._learned(codec, level) for level in levels]

    def shortened(self, seed: int) -> list[Shortened]:
        """Half of the bytes of each of them that has, its head as it was tuned to the whole."""
        return [
            Shortened(seed=seed, whole=whole) for whole in self.ours(seed) if _has_layers(whole)
        ]

    def cost(self) -> Cost:
        """What the networks take."""
        p = self.preset
        return Cost(
            seed=0,
            photos=p.photos,
            head=p.head,
            head_px=p.tune.head_px,
            ours=p.ours,
            channels=p.channels,
        )

    def _our_codec(self, seed: int) -> OurCodec:
        p = self.preset
        return OurCodec(
            seed=seed,
            photos=p.photos,
            head=p.head,
            workers=p.workers,
            clean=self.clean(seed),
            ours=p.ours,
            start=self.start,
        )

    def _drawn(self, seed: int) -> Drawn:
        p = self.preset
        return Drawn(
            seed=seed,
            photos=p.photos,
            head=p.head,
            workers=p.workers,
            channels=p.channels,
            draw=p.draw,
            beta=p.drawn_beta,
        )

    def _agnostic_codec(self, beta: float, seed: int) -> Agnostic:
        p = self.preset
        return Agnostic(
            seed=seed,
            photos=p.photos,
            head=p.head,
            workers=p.workers,
            drawn=self._drawn(seed),
            beta=beta,
            train=p.train,
        )

    def _learned(self, codec: Agnostic | Aware | OurCodec, level: int = 0) -> Learned:
        return Learned(
            seed=codec.seed,
            codec=codec,
            clean=self.clean(codec.seed),
            level=level,
            tune=self.preset.tune,
            table_crops=self.preset.table_crops,
        )


def _has_layers(whole: Learned) -> bool:
    return nest.layers(whole.level, whole.codec.levels) > 1


def table1(cells: Cells) -> list[Cell]:
    """No compression, JPEG at the paper's qualities, the paper's model at its β; one seed."""
    preset, seed = cells.preset, cells.preset.seeds[0]
    return [
        cells.clean(seed),
        cells.uncompressed(seed),
        *(cells.file("jpeg", quality, 1.0, seed) for quality in preset.jpeg_qualities),
        *(cells.aware(beta, seed) for beta in preset.betas),
    ]


def table2(cells: Cells) -> list[Cell]:
    """Task-aware against agnostic, without a limit on the rate and with one; every seed.

    The control, whose head is tuned for longer, has the first seed only.
    """
    preset = cells.preset
    found: list[Cell] = []
    for seed in preset.seeds:
        found += [cells.clean(seed), cells.uncompressed(seed)]
        for beta in (0.0, preset.limited_beta):
            found += [cells.agnostic(beta, seed), cells.aware(beta, seed)]
    return [*found, *(cells.patient(beta, preset.seeds[0]) for beta in (0.0, preset.limited_beta))]


def table3(cells: Cells) -> list[Cell]:
    """Agnostic and aware codecs for segmentation, by each loss of the head; one seed, β = 0.

    The agnostic one also with the β of drawing, to be compared with at the same bytes.
    """
    seed = cells.preset.seeds[0]
    return [
        cell
        for each in by_loss(cells)
        for cell in (
            each.clean(seed),
            each.uncompressed(seed),
            each.agnostic(cells.preset.drawn_beta, seed),
            each.agnostic(0.0, seed),
            each.aware(0.0, seed),
        )
    ]


def by_loss(cells: Cells) -> list[Cells]:
    """Those of road scenes, for each loss."""
    roads = cells.preset.on_roads()
    return [replace(cells, preset=roads, gamma=gamma) for gamma in roads.roads.gammas]


def fig2(cells: Cells) -> list[Cell]:
    """``table1`` and our codec."""
    return [*table1(cells), *cells.ours(cells.preset.seeds[0])]


def beyond(cells: Cells) -> list[Cell]:
    """Our codec against JPEG, WebP and AVIF, each at several sizes, and the paper's model."""
    preset, seed = cells.preset, cells.preset.seeds[0]
    return [
        cells.clean(seed),
        cells.uncompressed(seed),
        cells.cost(),
        *cells.ours(seed),
        *cells.cut(seed),
        *cells.shortened(seed),
        *(cells.aware(beta, seed) for beta in preset.betas),
        *(
            cells.file(codec, quality, scale, seed)
            for codec, settings in rivals(preset).items()
            for quality, scale in settings
        ),
    ]


def rivals(preset: Preset) -> dict[str, list[tuple[int, float]]]:
    """Qualities and sizes by file codec; of JPEG also those of ``table1``."""
    found = {codec: list(settings) for codec, settings in preset.rivals.items()}
    also = [(quality, 1.0) for quality in preset.jpeg_qualities]
    known = found.setdefault("jpeg", [])
    known += [setting for setting in also if setting not in known]
    return found


def parts(cells: Cells) -> list[Cell]:
    """Our codec trained for less long, whole and without each part in turn."""
    seed = cells.preset.seeds[0]
    found: list[Cell] = [cells.clean(seed)]
    for without in (None, *PARTS):
        found += cells.shorter(seed, without)
    return found


def levels(cells: Cells) -> list[Cell]:
    """Our codec at each rate level, and one trained for each level alone."""
    seed = cells.preset.seeds[0]
    ours = cells.ours(seed)
    return [cells.clean(seed), *ours, *(cells.one_level(seed, cell.level) for cell in ours)]
