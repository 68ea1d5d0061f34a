"""Cells of other people's codecs: the head tuned to what their files decode to."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tactic.evaluate import files
from tactic.evaluate.rivals import RIVALS, check, code_one, smaller
from tactic.evaluate.setting import Coded
from tactic.reproduce.cell import Cell, Figures, Place
from tactic.reproduce.heads import CleanHead
from tactic.reproduce.judging import bits_per_pixel, psnr_db, tune_and_judge, tuned_images
from tactic.reproduce.preset import ANSWERED, CODED, TUNED
from tactic_train.tune import Pictures, Tuning


class File(Cell):
    """JPEG (optimised Huffman tables), WebP (method 6) or another at one quality and size."""

    clean: CleanHead
    codec: str
    quality: int
    scale: float
    tune: Tuning

    @property
    def name(self) -> str:
        """``jpeg-q10-s1``, ``webp-q5-x0.5-s1``."""
        size = "" if self.scale == 1 else f"-x{self.scale:g}"
        return f"{self.codec}-q{self.quality}{size}-s{self.seed}"

    def images(self) -> dict[str, int]:
        """Coded, tuned on, and answered."""
        photos = self.clean.photos
        coded = tuned_images(self.tune, photos) + photos.judged_by
        tuned = self.tune.steps * self.tune.batch
        return {CODED: coded, TUNED: tuned, ANSWERED: photos.judged_by}

    def run(self, place: Place) -> Figures:
        """Code, tune and judge."""
        check([self.codec])
        photos = self.clean.photos
        gallery = place.gallery(photos)
        place.say(f"{self.name}: coding photos")
        train = _pixels(self._code(gallery.train[: tuned_images(self.tune, photos)]))
        coded = self._code(gallery.test)
        test = _pixels(coded)
        head = self.clean.load(place)
        seen = train, test
        judged = tune_and_judge(place, self, head, self.tune, seen, gallery, self.clean.gamma)
        sizes = tuple(each.bytes for each in coded)
        return Figures(
            **judged,
            bytes=sizes,
            bytes_stripped=tuple(each.bytes_stripped for each in coded),
            bytes_standard=self._standard(gallery.test) if self.codec == "jpeg" else None,
            bits_per_pixel=bits_per_pixel(sizes, photos),
            psnr_db=psnr_db(gallery.test, test),
        )

    def _code(self, pictures: Pictures) -> list[Coded]:
        rival = RIVALS[self.codec]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda p: code_one(rival, self.quality, self.scale, p), pictures))

    def _standard(self, pictures: Pictures) -> tuple[int, ...]:
        return tuple(
            len(files.jpeg_standard(smaller(pixels, self.scale), self.quality))
            for pixels in pictures
        )


def _pixels(coded: list[Coded]) -> Pictures:
    return np.stack([each.pixels for each in coded])
