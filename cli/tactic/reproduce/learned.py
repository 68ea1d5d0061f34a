"""Cells of learned codecs: the head tuned to what a trained codec decodes, in real bytes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SerializeAsAny

from tactic.reproduce import packets
from tactic.reproduce.cell import Cell, Figures, Json, Place
from tactic.reproduce.codecs import Agnostic, Aware
from tactic.reproduce.heads import CleanHead
from tactic.reproduce.judging import HEAD, bits_per_pixel, psnr_db, tune_and_judge, tuned_images
from tactic.reproduce.ours import OurCodec
from tactic.reproduce.preset import ANSWERED, CODED, TUNED
from tactic_codec.packet import HEADER_BYTES
from tactic_train.heads import Head
from tactic_train.step import System
from tactic_train.tune import Pictures, Tuning


class Learned(Cell):
    """A codec that is fixed now, at one rate level.

    The head is the one that was trained with the codec, or else the clean one; either is then
    tuned by the same schedule.
    """

    files: ClassVar[tuple[str, ...]] = (HEAD,)
    codec: SerializeAsAny[Agnostic | Aware | OurCodec]
    clean: CleanHead
    level: int
    tune: Tuning
    table_crops: int
    patient: bool = False
    """Marks an agnostic head tuned as long as an aware one was trained and tuned together."""
    share: float = 1.0
    """Of the bytes of each packet that are sent; the head is tuned to what that gives."""

    @property
    def name(self) -> str:
        """``aware-b1-s1``, ``agnostic-b0-patient-s1``, ``ours-l1-cut0.75-s1``, …."""
        level = f"-l{self.level}" if self.codec.levels > 1 else ""
        level += f"-cut{self.share:g}" if self.share < 1 else ""
        label = self.codec.label.removesuffix(self.clean.loss) + level + "-patient" * self.patient
        return f"{label}{self.clean.loss}-s{self.seed}"

    def configuration(self) -> Json:
        """Whole packets are what is meant where nothing is said."""
        found = super().configuration()
        if self.share == 1:
            del found["share"]
        return found

    def images(self) -> dict[str, int]:
        """Coded, tuned on, and answered."""
        photos = self.clean.photos
        coded = tuned_images(self.tune, photos) + photos.judged_by + self.table_crops
        tuned = self.tune.steps * self.tune.batch
        return {CODED: coded, TUNED: tuned, ANSWERED: photos.judged_by}

    def run(self, place: Place) -> Figures:
        """Code, tune and judge."""
        photos = self.clean.photos
        gallery = place.gallery(photos)
        system = self.codec.load(place)
        place.say(f"{self.name}: fitting entropy models, coding photos")
        coder = self.coder(system, place)
        arrived = coder.through(packets.encode(system, gallery.test, self.level), self.share)
        test = packets.decode(system, arrived.latents, arrived.levels)
        train = self._decoded(system, coder, gallery.train[: tuned_images(self.tune, photos)])
        head = self._head(system, place)
        seen = train, test
        judged = tune_and_judge(place, self, head, self.tune, seen, gallery, self.clean.gamma)
        bits = None
        if self.codec.rate_weight and self.share == 1:
            bits = packets.density_bits(system, arrived.latents, self.level)
        return Figures(
            **judged,
            bytes=arrived.sizes,
            bytes_stripped=tuple(size - HEADER_BYTES for size in arrived.sizes),
            bits_per_pixel=bits_per_pixel(arrived.sizes, photos),
            bits_per_pixel_density=None if bits is None else bits / gallery.test[..., 0].size,
            psnr_db=psnr_db(gallery.test, test),
        )

    def _decoded(self, system: System, coder: packets.Packets, pictures: Pictures) -> Pictures:
        """What a gateway shows its head; whole packets lose nothing, so they are not made."""
        latents = packets.encode(system, pictures, self.level)
        if self.share == 1:
            return packets.decode(system, latents, self.level)
        arrived = coder.through(latents, self.share)
        return packets.decode(system, arrived.latents, arrived.levels)

    def coder(self, system: System, place: Place) -> packets.Packets:
        """What codes its latents."""
        crops = place.gallery(self.clean.photos).train[: self.table_crops]
        path = place.folder(self.codec) / f"entropy-{self.table_crops}.bin"
        models = packets.entropy_models(system, crops, path)
        return packets.Packets.of(system, self.level, models)

    def _head(self, system: System, place: Place) -> Head:
        return system.head if isinstance(self.codec, Aware) else self.clean.load(place)
