"""The model card of a bundle: what it was trained on, what was measured, what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from tactic_export.bundle import Plan
from tactic_export.freeze import Frozen
from tactic_export.parity import Parity
from tactic_train.config import TrainConfig
from tactic_train.from_bundle import is_bundle

_IMAGENET_CLASSES = 1000


def model_card(
    plan: Plan, trained: Sequence[TrainConfig], frozen: Frozen, parity: Parity | None
) -> str:
    """Markdown; ``trained`` are the runs one after the other, the last is the one exported."""
    config = trained[-1]
    sizes = ", ".join(f"{width}×{height}" for height, width in plan.geometries)
    return f"""# {plan.name}

Architecture `{config.model.arch}`, {config.model.channels} latent channels,
{frozen.levels} rate levels (recommended: {plan.level}), head
`{plan.head_name}`. Frame sizes: {sizes}.

## Training

Images are of the train splits only ($TACTIC_DATA is the folder of the data sets).

{_training(trained)}
## Measured

{_measured(parity)}
## Limits

{_limits(config)}
"""


def _training(trained: Sequence[TrainConfig]) -> str:
    first, parts = trained[0], []
    if first.start and is_bundle(first.start):
        parts.append(
            f"Begun with the codec of the bundle `{first.start.name}`, whose model card and "
            "licence tell what that was trained on.\n\n"
        )
    elif first.start:
        parts.append("The runs before these are not at hand.\n\n")
    for config in trained:
        begin = "" if config is first else ", begun with the codec of the run before"
        sources = ", ".join(f"`{source}`" for source in config.data.sources)
        side = config.data.crop_px
        parts.append(
            f"Run `{config.name}`{begin}: {sources}; head of {config.head.classes} classes; "
            f"batches of {config.batch}, crops of {side}×{side}, seed {config.seed}:\n\n"
        )
        parts += [
            f"- {stage.steps} steps: {stage.distortion:g} · L_D + {stage.alpha:g} · L_T + "
            f"{stage.beta:g} · L_R, task from {stage.task}, head {stage.head}, {stage.rounding}, "
            f"encoder {stage.encoder}, tail drop {stage.tail_drop:g}\n"
            for stage in config.stage
        ]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _limits(config: TrainConfig) -> str:
    if config.tunes_head or config.head.classes != _IMAGENET_CLASSES:
        return (
            "Codec and head know the photos named above and others like them, the head "
            f"{config.head.classes} classes;\nmeasure on other pictures before you rely on it "
            "for those."
        )
    return """\
Trained on everyday photos. Text, faces to be recognised, medical and aerial pictures were not in
the training data; measure on your own pictures before you rely on it. The head knows the 1000
classes of ImageNet and is as right or wrong as its authors published it."""


def _measured(parity: Parity | None) -> str:
    if parity is None:
        return "No pictures were given to the export, so nothing was measured.\n"
    lines = "\n".join(f"| {name} | {value} |" for name, value in parity.rows())
    return f"| | |\n|---|---|\n{lines}\n\n{_curve(parity)}"


_COLUMNS = {
    "classification": (
        "answer of the uncompressed picture", "accuracy", "int8 gives float's answer"
    ),
    "segmentation": (
        "pixels as on the uncompressed picture", "accuracy of pixels", "pixels as from float",
        "mean IoU",
    ),
}  # fmt: skip


def _curve(parity: Parity) -> str:
    """One row a rate level."""
    columns = ("level", "bytes a packet", "PSNR, dB", *_COLUMNS[parity.task])
    rows = [columns, ("---",) * len(columns)]
    for at in parity.levels:
        figures = f"{at.level}", f"{at.bytes_int8:.0f}", f"{at.psnr_db_int8:.1f}"
        shares = (at.agreement_int8, at.accuracy_int8, at.same_answer, at.miou_int8)
        # The last one is of pixels only.
        rows.append((*figures, *map(_share, shares))[: len(columns)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
