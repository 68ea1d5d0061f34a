"""How far the gradients of two batches agree, by loss term: ``python bench/gradients.py RUN``.

A term whose gradient has a cosine near 1 between batches tells every step the same; one near 0 is
noise that steps have to average out. RUN is the folder of a training run. Needs its training data.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from tactic_export.pictures import training_crops
from tactic_export.run import load_run
from tactic_train import losses
from tactic_train.step import System

BATCHES, BATCH, HEAD_PX = 6, 16, 160


def terms(system: System, picture: Tensor) -> dict[str, Tensor]:
    """Means over a batch whose images have the rate levels in turn, as in training."""
    level = torch.arange(len(picture)) % system.codec.levels
    level = level[:, None].expand(-1, system.codec.channels)
    latent = system.codec.encode(picture, level)
    reconstruction = system.codec.decode(losses.quantise_straight_through(latent), level)
    head = system.head
    maps, scores = head.features(head.to_input(reconstruction.clamp(0, 1), HEAD_PX))
    with torch.no_grad():
        taught_maps, taught = head.features(head.to_input(picture, HEAD_PX))
    found = {
        "L_D": losses.distortion(picture, reconstruction),
        "L_R": losses.rate(
            system.density.bits(latent, level), picture.shape[-1] * picture.shape[-2]
        ),
        "L_T, logits": losses.task_from_teacher(scores, taught),
    }
    for number, (ours, theirs) in enumerate(zip(maps, taught_maps, strict=True)):
        found[f"L_T, map {number}"] = losses.task_from_features([ours], [theirs])
    return {term: loss.mean() for term, loss in found.items()}


def flat(gradients: Iterable[Tensor | None]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients if g is not None] or [torch.zeros(1)])


def agreement(gradients: list[Tensor]) -> tuple[float, float]:
    """Mean norm, and mean cosine between different batches."""
    stacked = torch.stack(gradients)
    norms = stacked.norm(dim=1, keepdim=True)
    cosines = (stacked / norms.clamp_min(1e-12)) @ (stacked / norms.clamp_min(1e-12)).T
    n = len(gradients)
    return norms.mean().item(), ((cosines.sum() - n) / (n * (n - 1))).item()


def measure(system: System, pictures: Tensor) -> dict[str, dict[str, tuple[float, float]]]:
    halves: dict[str, nn.Module] = {
        "encoder": system.codec.encoder,
        "decoder": system.codec.decoder,
    }
    collected: dict[str, dict[str, list[Tensor]]] = {}
    for batch in torch.split(pictures, BATCH):
        for term, loss in terms(system, batch).items():
            for half, module in halves.items():
                gradient = torch.autograd.grad(
                    loss, list(module.parameters()), retain_graph=True, allow_unused=True
                )
                collected.setdefault(term, {}).setdefault(half, []).append(flat(gradient))
    return {t: {h: agreement(g) for h, g in by_half.items()} for t, by_half in collected.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    config, system = load_run(parser.parse_args().run)
    system.head.requires_grad_(False)
    crops = torch.from_numpy(training_crops(config, BATCHES * BATCH))
    found = measure(system, crops.permute(0, 3, 1, 2).float() / 255)
    print(f"{'term':14}{'encoder |g|':>12}{'cosine':>8}{'decoder |g|':>13}{'cosine':>8}")
    for term, by_half in found.items():
        (e_norm, e_cos), (d_norm, d_cos) = by_half["encoder"], by_half["decoder"]
        print(f"{term:14}{e_norm:12.3f}{e_cos:8.3f}{d_norm:13.3f}{d_cos:8.3f}")


if __name__ == "__main__":
    main()
