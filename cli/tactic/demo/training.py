"""``tactic demo --train``: a small codec from the demo's own photos, before it is used on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tactic.demo.photos import Photo, write_folder
from tactic_export.bundle import Plan
from tactic_export.run import export
from tactic_train.config import Data, Stage, TrainConfig
from tactic_train.loop import train

GEOMETRY = (224, 224)


def train_bundle(folder: Path, frames: list[Photo], say: Callable[[str], None]) -> Path:
    """Train and export; under five minutes on two cores.

    The codec is fitted to the very photos it is then shown: this demonstrates the path from
    pictures to a running bundle, not how well a codec does on pictures it has never seen.
    """
    write_folder(frames, folder / "training" / "photos")
    config = TrainConfig(
        name="demo",
        checkpoint_every=100,
        data=Data(sources=(f"unlabelled:{folder / 'training' / 'photos'}",), crop_px=128),
        stage=(
            Stage(steps=100, learning_rate=4e-4, final_learning_rate=2e-4, distortion=400, beta=3),
            Stage(
                steps=160,
                learning_rate=2e-4,
                distortion=60,
                alpha=1,
                features=2,
                beta=3,
                rounding="straight-through",
                head_px=(128,),
            ),
        ),
    )
    say("training a small codec on the demo's photos (a few minutes)")
    train(config, folder / "training" / "run")
    plan = Plan("demo", "efficientnet_lite0", (GEOMETRY,))
    export(folder / "training" / "run", folder / "bundle", plan, None, say)
    return folder / "bundle"
