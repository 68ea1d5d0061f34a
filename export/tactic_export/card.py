"""The model card of a bundle: what it was trained on, what was measured, what it cannot do."""

from __future__ import annotations

from tactic_export.bundle import Frozen, Plan
from tactic_export.parity import Parity
from tactic_train.config import TrainConfig


def model_card(plan: Plan, config: TrainConfig, frozen: Frozen, parity: Parity | None) -> str:
    """Markdown."""
    sources = "\n".join(f"- `{source}`" for source in config.data.sources)
    stages = "\n".join(
        f"- {stage.steps} steps: {stage.distortion:g} · L_D + {stage.alpha:g} · L_T + "
        f"{stage.beta:g} · L_R, task from {stage.task}, head {stage.head}, {stage.rounding}"
        for stage in config.stage
    )
    sizes = ", ".join(f"{width}×{height}" for height, width in plan.geometries)
    return f"""# {plan.name}

Architecture `{config.model.arch}`, {config.model.channels} latent channels in
{len(frozen.layers)} layers, head `{plan.head_name}`. Frame sizes: {sizes}.

## Training

Images ($TACTIC_DATA is the folder of the data sets; train splits only):

{sources}

Batches of {config.batch}, crops of {config.data.crop_px}×{config.data.crop_px}, seed
{config.seed}:

{stages}

## Measured

{_measured(parity)}
## Limits

Trained on everyday photos. Text, faces to be recognised, medical and aerial pictures were not in
the training data; measure on your own pictures before you rely on it. The head knows the 1000
classes of ImageNet and is as right or wrong as its authors published it.
"""


def _measured(parity: Parity | None) -> str:
    if parity is None:
        return "No pictures were given to the export, so nothing was measured.\n"
    rows = [
        ("pictures", f"{parity.pictures}"),
        ("bytes a packet, header included", f"{parity.bytes_int8:.0f}"),
        ("model entropy, bytes", f"{parity.entropy_bytes_int8:.0f}"),
        ("PSNR", f"{parity.psnr_db_int8:.1f} dB"),
        ("same answer as on the uncompressed picture", f"{parity.agreement_int8:.1%}"),
        ("int8 gives the answer of float", f"{parity.same_answer:.1%}"),
        ("bytes, int8 against float", f"{parity.bytes_int8 / parity.bytes_float - 1:+.2%}"),
        (
            "symbols unlike the integer reference, ONNX Runtime",
            f"{parity.onnxruntime.latents_differing:.4%}, by {parity.onnxruntime.largest_difference}",
        ),
        (
            "symbols unlike the integer reference, LiteRT",
            f"{parity.litert.latents_differing:.4%}, by {parity.litert.largest_difference}",
        ),
    ]
    if parity.accuracy_clean is not None and parity.accuracy_int8 is not None:
        rows.append(("accuracy uncompressed", f"{parity.accuracy_clean:.1%}"))
        rows.append(("accuracy", f"{parity.accuracy_int8:.1%}"))
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---|\n{lines}\n"
