"""What each part of the entropy coder is worth: bytes a photo, fitted on some, counted on others.

    python bench/entropy.py RUN --photos imagefolder:PATH [--match BEGIN] [--limit N]

For each rate level: the density that training fitted; one static table a channel; contexts, the
level coded alone; contexts with nested levels, as streams are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic.evaluate import about
from tactic_codec import stream
from tactic_codec.entropy import EntropyModel
from tactic_codec.tables import LOWEST, Table, TableSet
from tactic_export.freeze import Frozen, entropy_bytes, freeze, freeze_models
from tactic_export.pictures import report_pictures, training_crops
from tactic_export.run import TABLE_CROPS, load_run
from tactic_train.density import LogisticMixture


def main() -> None:
    asked = _arguments()
    config, system = load_run(asked.run)
    crops = training_crops(config, TABLE_CROPS)
    frozen = freeze(system, crops, reorder=not any(stage.tail_drop for stage in config.stage))
    photos, _ = report_pictures(asked.photos, asked.match, system.codec.stride)
    photos = photos[: asked.limit]
    rows = list(_levels(frozen, system.density, crops, photos))
    result = {"run": config.name, "photos": len(photos), "levels": rows}
    origin = {"machine": about.machine(), "commit": about.commit(), "date": about.date()}
    print(json.dumps(result | origin, indent=2))


def _levels(
    frozen: Frozen, density: LogisticMixture, crops: NDArray[np.uint8], photos: NDArray[np.uint8]
) -> Iterator[dict[str, float]]:
    for level in range(frozen.levels):
        seen, fresh = frozen.latents(level, crops), frozen.latents(level, photos)
        alone = freeze_models([seen], seen.shape[1])[0]
        yield {
            "level": level,
            "density": round(entropy_bytes(fresh, density, level), 1),
            "static": _mean(stream.encode(each, _static(seen)) for each in fresh),
            "contexts": _mean(stream.encode(each, alone) for each in fresh),
            "nested": _mean(frozen.stream(each, level) for each in fresh),
        }


def _static(latents: NDArray[np.int8]) -> EntropyModel:
    planes = latents.swapaxes(0, 1).reshape(latents.shape[1], -1).astype(int) - LOWEST
    counts = [np.bincount(plane, minlength=256) for plane in planes]
    return EntropyModel.static(
        TableSet(tuple(Table.from_counts(c.astype(float), LOWEST) for c in counts))
    )


def _mean(streams: Iterator[bytes]) -> float:
    return round(float(np.mean([len(each) for each in streams])), 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--photos", required=True, help="imagefolder:PATH or unlabelled:PATH")
    parser.add_argument("--match", default="", help="only photos whose name begins so")
    parser.add_argument("--limit", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
