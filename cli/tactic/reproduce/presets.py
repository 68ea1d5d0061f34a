"""The numbers of the experiments: for two cores, one GPU, the paper's own; and aerial scenes."""

from __future__ import annotations

from tactic.reproduce.gallery import Photos
from tactic.reproduce.preset import (
    ANSWERED,
    CODED,
    DRAWN,
    JOINT,
    TUNED,
    HeadChoice,
    Ours,
    Preset,
    Roads,
    Training,
)
from tactic_train.config import Stage
from tactic_train.tune import Tuning

_IMAGENET20 = Photos(
    source="imagefolder:$TACTIC_DATA/imagenet20_128_q90.zip",
    match="ILSVRC2012_val_",
    classes=20,
    side_px=128,
    tuned_on=7200,
    judged_by=1000,
)
_LITE0 = HeadChoice(name="efficientnet_lite0", published_rows=True)


def _ours_stages(
    steps: tuple[int, int, int, int], beta: float = 0.8
) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Drawing, then what the clean head teaches.

    It leads by its inner maps, then by its answers; the last stage has integer weights.
    """
    draw, maps, answers, fixed = steps
    first = Stage(
        steps=draw,
        learning_rate=5e-4,
        final_learning_rate=3e-4,
        distortion=400.0,
        beta=0.35,
        tail_drop=0.2,
    )
    second = Stage(
        steps=maps,
        learning_rate=2e-4,
        final_learning_rate=5e-5,
        distortion=30.0,
        alpha=0.4,
        features=10.0,
        beta=beta,
        task="both",
        rounding="straight-through",
        tail_drop=0.2,
        head_px=(160,),
    )
    # What the answers ask of the codec changes from batch to batch: only small steps add up.
    third = second.model_copy(
        update={
            "steps": answers,
            "learning_rate": 6e-5,
            "final_learning_rate": 5e-6,
            "alpha": 1.0,
            "features": 2.0,
        }
    )
    fourth = third.model_copy(
        update={
            "steps": fixed,
            "learning_rate": 2e-5,
            "final_learning_rate": 1e-6,
            "encoder": "fixed",
        }
    )
    return (first,), (second, third, fourth)


def _at_sizes(*qualities: int) -> tuple[tuple[int, float], ...]:
    return tuple((quality, scale) for scale in (1.0, 0.75, 0.5) for quality in qualities)


_CPU_STAGES = _ours_stages((600, 1600, 2400, 200))
_GPU_STAGES = _ours_stages((4000, 6000, 4000, 600))
# The thinnest links: seven kinds of land need fewer bits than twenty of photos.
_AERIAL_STAGES = _ours_stages((600, 1200, 1200, 100), beta=3.0)

_CAMVID = Photos(
    source="camvid:$TACTIC_DATA/camvid_q95.zip",
    match="",
    classes=11,
    side_px=224,
    tuned_on=400,
    judged_by=233,
)
_SEGMENTER = HeadChoice(name="lraspp_efficientnet_lite0")
_CPU_ROADS = Roads(
    photos=_CAMVID,
    head=_SEGMENTER,
    clean=Tuning(steps=400, batch=4, learning_rate=5e-4, head_px=224),
    tune=Tuning(steps=100, batch=4, learning_rate=2e-4, head_px=224),
    draw=Training(steps=400, batch=4, learning_rate=1e-3, final_learning_rate=3e-4),
    train=Training(steps=1500, batch=4, learning_rate=3e-4, final_learning_rate=1e-5),
    table_crops=100,
    images_per_s={DRAWN: 20, JOINT: 7, TUNED: 16, ANSWERED: 35, CODED: 35},
)
_GPU_ROADS = Roads(
    photos=_CAMVID.model_copy(update={"side_px": 352, "tuned_on": 2000}),
    head=_SEGMENTER,
    clean=Tuning(steps=3000, batch=8, learning_rate=5e-4, head_px=352),
    tune=Tuning(steps=600, batch=8, learning_rate=2e-4, head_px=352),
    draw=Training(steps=2000, batch=8, learning_rate=1e-3, final_learning_rate=3e-4),
    train=Training(steps=2000, batch=8, learning_rate=3e-4, final_learning_rate=1e-5),
    table_crops=300,
    images_per_s={DRAWN: 250, JOINT: 120, TUNED: 200, ANSWERED: 500, CODED: 150},
)
_PAPER_ROADS = Roads(
    photos=Photos(
        source="cityscapes:$CITYSCAPES",
        match="",
        classes=19,
        side_px=512,
        tuned_on=6000,
        judged_by=500,
    ),
    head=HeadChoice(name="torchvision:fcn_resnet101", weights="$FCN_RESNET101"),
    clean=Tuning(steps=20_000, batch=3, learning_rate=1e-4, head_px=512),
    tune=Tuning(steps=4000, batch=3, learning_rate=1e-4, head_px=512),
    draw=Training(steps=20_000, batch=3, learning_rate=1e-4, final_learning_rate=1e-4),
    train=Training(steps=20_000, batch=3, learning_rate=1e-4, final_learning_rate=1e-5),
    table_crops=300,
    images_per_s={DRAWN: 60, JOINT: 15, TUNED: 20, ANSWERED: 60, CODED: 60},
)

CPU = Preset(
    name="cpu",
    photos=_IMAGENET20,
    head=_LITE0,
    seeds=(1, 2, 3),
    workers=0,
    clean=Tuning(steps=300, batch=16, learning_rate=1e-4, head_px=160),
    tune=Tuning(steps=300, batch=16, learning_rate=1e-4, head_px=160),
    channels=16,
    draw=Training(steps=2400, batch=16, learning_rate=1e-3, final_learning_rate=1e-4, crop_px=64),
    train=Training(steps=1200, batch=16, learning_rate=1e-4, final_learning_rate=1e-6),
    table_crops=400,
    rivals={
        "jpeg": ((5, 1.0), (10, 1.0), (25, 1.0), (25, 0.5), (50, 0.5)),
        "webp": ((0, 1.0), (5, 1.0), (20, 1.0), (50, 1.0), (0, 0.5), (20, 0.5), (50, 0.5)),
        "avif": ((12, 1.0), (27, 1.0), (45, 1.0), (12, 0.5), (45, 0.5)),
    },
    ours=Ours(
        channels=64, levels=5, step=0.15, batch=16, begin=_CPU_STAGES[0], taught=_CPU_STAGES[1]
    ),
    one_level_share=1 / 3,
    parts_share=1 / 6,
    roads=_CPU_ROADS,
    images_per_s={DRAWN: 60, JOINT: 20, TUNED: 45, ANSWERED: 100, CODED: 100},
)

GPU = Preset(
    name="gpu",
    photos=_IMAGENET20,
    head=_LITE0,
    seeds=(1, 2, 3),
    workers=8,
    clean=Tuning(steps=300, batch=32, learning_rate=1e-4, head_px=160),
    tune=Tuning(steps=600, batch=32, learning_rate=1e-4, head_px=160),
    channels=16,
    draw=Training(steps=2000, batch=32, learning_rate=1e-3, final_learning_rate=3e-4),
    train=Training(steps=2000, batch=32, learning_rate=3e-4, final_learning_rate=1e-5),
    table_crops=2000,
    rivals={
        "jpeg": _at_sizes(2, 5, 10, 15, 25, 50),
        "webp": _at_sizes(0, 5, 10, 20, 35, 50),
        "avif": _at_sizes(5, 12, 20, 27, 35, 45),
        "jpeg2000": _at_sizes(20, 22, 24, 26, 28, 31),
    },
    ours=Ours(
        channels=64, levels=5, step=0.15, batch=32, begin=_GPU_STAGES[0], taught=_GPU_STAGES[1]
    ),
    roads=_GPU_ROADS,
    images_per_s={DRAWN: 1000, JOINT: 600, TUNED: 1000, ANSWERED: 2000, CODED: 800},
)

PAPER = GPU.model_copy(
    update={
        "name": "paper",
        "photos": Photos(
            source="classes:$IMAGENET/train",
            match="",
            classes=50,
            side_px=320,
            tuned_on=16_000,
            judged_by=13_000,
        ),
        "head": HeadChoice(name="torchvision:inception_v3", weights="$INCEPTION_V3"),
        "clean": Tuning(steps=6000, batch=32, learning_rate=1e-3, head_px=299),
        "tune": Tuning(steps=2000, batch=32, learning_rate=1e-3, head_px=299),
        "draw": Training(steps=8000, batch=32, learning_rate=1e-3, final_learning_rate=1e-3),
        "train": Training(steps=16_000, batch=32, learning_rate=1e-3, final_learning_rate=1e-5),
        "ours": GPU.ours.model_copy(
            update={
                "taught": tuple(
                    stage.model_copy(update={"head_px": (299,)}) for stage in GPU.ours.taught
                )
            }
        ),
        "roads": _PAPER_ROADS,
        "images_per_s": {DRAWN: 300, JOINT: 150, TUNED: 300, ANSWERED: 900, CODED: 200},
    }
)

AERIAL = CPU.model_copy(
    update={
        "name": "aerial",
        "photos": Photos(
            source="imagefolder:out/aerial/photos",
            match="",
            classes=7,
            side_px=128,
            tuned_on=2240,
            judged_by=560,
        ),
        "head": HeadChoice(name="efficientnet_lite0"),
        "clean": Tuning(steps=300, batch=16, learning_rate=3e-4, head_px=160),
        "tune": Tuning(steps=200, batch=16, learning_rate=1e-4, head_px=160),
        "betas": (),
        "shares": (),
        "rivals": {
            "jpeg": ((5, 1.0), (10, 1.0), (15, 1.0), (25, 1.0), (25, 0.5), (50, 0.5)),
            "webp": ((0, 1.0), (5, 1.0), (20, 1.0), (0, 0.5), (5, 0.5), (20, 0.5), (50, 0.5)),
        },
        "ours": CPU.ours.model_copy(update={"taught": _AERIAL_STAGES[1]}),
    }
)

PRESETS = {preset.name: preset for preset in (CPU, GPU, PAPER, AERIAL)}
