"""Cells of frames that were cut short: the head of a rate level shown what half the bytes give."""

from __future__ import annotations

from tactic.reproduce import packets
from tactic.reproduce.cell import Cell, Figures, Place
from tactic.reproduce.judging import HEAD, bits_per_pixel, judge, psnr_db
from tactic.reproduce.learned import Learned
from tactic.reproduce.preset import ANSWERED, CODED
from tactic_codec.packet import HEADER_BYTES
from tactic_train.heads import make_head

HALF = 0.5


class Shortened(Cell):
    """Half of the bytes of every packet, its header counted; nothing is trained for it.

    The head is the one that was tuned to whole frames of the level.
    """

    whole: Learned

    @property
    def name(self) -> str:
        """``ours-l1-half-s1``."""
        return f"{self.whole.name.rpartition('-s')[0]}-half-s{self.seed}"

    def images(self) -> dict[str, int]:
        """Coded and answered."""
        judged = self.whole.clean.photos.judged_by
        return {CODED: judged, ANSWERED: judged}

    def run(self, place: Place) -> Figures:
        """Code, cut, decode and judge."""
        whole = self.whole
        photos, choice = whole.clean.photos, whole.clean.head
        gallery = place.gallery(photos)
        system = whole.codec.load(place)
        place.say(f"{self.name}: coding photos")
        latents = packets.encode(system, gallery.test, whole.level)
        arrived = whole.coder(system, place).through(latents, HALF)
        seen = packets.decode(system, arrived.latents, arrived.levels)
        head = make_head(choice.name, photos.classes, place.folder(whole) / HEAD).to(place.device)
        return Figures(
            **judge(head, seen, gallery, whole.tune.head_px),
            bytes=arrived.sizes,
            bytes_stripped=tuple(size - HEADER_BYTES for size in arrived.sizes),
            bits_per_pixel=bits_per_pixel(arrived.sizes, photos),
            psnr_db=psnr_db(gallery.test, seen),
        )
