"""One image, its class or its mask, and the sources they come in."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic_train.errors import DataError

#: class of an image without one, and of a pixel that counts nowhere
UNLABELLED = VOID = -1

_UNREADABLE = (OSError, RuntimeError, zipfile.BadZipFile, zlib.error, KeyError)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The classes of an image's pixels: where they are, and what the file's values mean.

    Attributes
    ----------
    name : str
    read : callable
    classes : int8 array (256,)
        Class of every value in the file; −1: void.
    """

    name: str
    read: Callable[[], bytes]
    classes: NDArray[np.int8]

    def decode(self) -> NDArray[np.int8]:
        """Classes int8 (H, W), −1 where void.

        Raises
        ------
        DataError
            The file cannot be read or is no 8-bit greyscale image; the message names it.
        """
        values = _decode(_bytes(self.name, self.read), cv2.IMREAD_UNCHANGED)
        if values is None or values.ndim != 2 or values.dtype != np.uint8:
            raise DataError(f"{self.name}: not an 8-bit greyscale mask; remove it or mend it")
        found: NDArray[np.int8] = self.classes[values]
        return found


@dataclass(frozen=True, slots=True)
class Item:
    """One image: where it is, how to read it, and its class (−1: none) or its mask."""

    name: str
    read: Callable[[], bytes]
    label: int
    mask: Mask | None = None

    def decode(self) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3).

        Raises
        ------
        DataError
            The file cannot be read or is not an image; the message names it.
        """
        return decode_image(_bytes(self.name, self.read), self.name)

    def decode_mask(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """Classes int8 (H, W) for an image of that shape; all void where there is no mask.

        Raises
        ------
        DataError
            The mask cannot be read or is of another size than the image.
        """
        if self.mask is None:
            return np.full(shape[:2], VOID, np.int8)
        found = self.mask.decode()
        if found.shape != shape[:2]:
            raise DataError(
                f"{self.mask.name}: {found.shape[1]}x{found.shape[0]} pixels, the image has "
                f"{shape[1]}x{shape[0]}; remove both or mend it"
            )
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """The images of one source, and the class names that labels or masks index."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    classes: tuple[str, ...]

    @property
    def has_masks(self) -> bool:
        """Whether the classes are those of pixels."""
        return any(item.mask for item in self.train)


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image file to RGB uint8 (H, W, 3).

    Raises
    ------
    DataError
        The bytes are not an image; the message names it.
    """
    picture = _decode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{name}: not a readable image; remove it or mend it")
    return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)


def _bytes(name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except _UNREADABLE as fault:
        raise DataError(f"{name}: cannot be read ({fault}); remove or mend it") from fault


def _decode(data: bytes, how: int) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        return None
