"""The bundle manifest: what a bundle declares, as typed models.

Only what is declared here can be selected by a packet from the wire.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*(\.[a-z0-9]+)?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """One file of the bundle, relative to its root."""

    path: RelativePath
    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Geometry(_Strict):
    """A frame size the bundle is declared for, in pixels; both are multiples of the stride."""

    height: int = Field(gt=0, le=8192)
    width: int = Field(gt=0, le=8192)


class Level(_Strict):
    """A rate level: the encoder as it quantises for it, once for each runtime."""

    encoder_onnx: FileEntry
    encoder_tflite: FileEntry


class Codec(_Strict):
    """The part that both ends must share; its digest is the bundle id that packets carry.

    ``layers`` are channel counts from the base layer up; their sum is ``channels``. ``levels``
    begin with the finest; ``entropy`` holds the entropy models of all of them.
    """

    arch: str
    stride: int = Field(gt=0, le=64)
    channels: int = Field(gt=0, le=1024)
    layers: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=4)]
    geometries: Annotated[tuple[Geometry, ...], Field(min_length=1, max_length=8)]
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=8)]
    entropy: FileEntry
    decoder: FileEntry

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(self.layers) != self.channels:
            raise ValueError(f"layers {self.layers} do not add up to {self.channels} channels")
        if any(g.height % self.stride or g.width % self.stride for g in self.geometries):
            raise ValueError(f"a geometry is not a multiple of the stride {self.stride}")
        return self

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of this section, 64 hexadecimal digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def wire_id(self) -> int:
        """First two bytes of the id, big-endian: the ``bundle`` field of a packet."""
        return int(self.id[:4], 16)


class Head(_Strict):
    """A task network: uint8 pictures (N, H, W, 3) in, float32 scores (N, classes) out."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    task: Literal["classification"]
    model: FileEntry
    labels: FileEntry


class Probe(_Strict):
    """Frames with the latents the integer reference gives for them, one array a level."""

    frames: FileEntry
    latents: FileEntry


class Manifest(_Strict):
    """``manifest.json``."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    created: str
    default_level: int = Field(default=0, ge=0)
    codec: Codec
    heads: tuple[Head, ...]
    probe: Probe
    documents: tuple[FileEntry, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [head.name for head in self.heads]
        paths = [entry.path for entry in self.files]
        if len(set(names)) < len(names) or len(set(paths)) < len(paths):
            raise ValueError("a head name or a file path occurs twice")
        if self.default_level >= len(self.codec.levels):
            raise ValueError(f"default_level {self.default_level} is not among the levels")
        return self

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the bundle except the manifest itself."""
        codec = self.codec
        return (
            *(level.encoder_onnx for level in codec.levels),
            *(level.encoder_tflite for level in codec.levels),
            *(codec.entropy, codec.decoder),
            *(entry for head in self.heads for entry in (head.model, head.labels)),
            *(self.probe.frames, self.probe.latents, *self.documents),
        )
