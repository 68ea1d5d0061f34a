"""The bundle manifest: what a bundle declares, as typed models.

Only what is declared here can be selected by a packet from the wire.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tactic_codec import nest

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
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


class Encoder(_Strict):
    """The encoder as it quantises for the finest level of a chain, once for each runtime."""

    onnx: FileEntry
    tflite: FileEntry


class Codec(_Strict):
    """The part that both ends must share; its digest is the bundle id that packets carry.

    ``levels`` is the number of rate levels, of which two chains are made: there is an encoder for
    levels 0, 2, 4 …, and where there is more than one level another for levels 1, 3, 5 ….
    ``entropy`` holds an entropy model for each.
    """

    arch: str
    stride: int = Field(gt=0, le=64)
    channels: int = Field(gt=0, le=1024)
    geometries: Annotated[tuple[Geometry, ...], Field(min_length=1, max_length=8)]
    levels: int = Field(ge=1, le=8)
    encoders: Annotated[tuple[Encoder, ...], Field(min_length=1, max_length=2)]
    entropy: FileEntry
    decoder: FileEntry

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.encoders) != nest.chains(self.levels):
            raise ValueError(f"{len(self.encoders)} encoders for {self.levels} rate levels")
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
    """A task network for uint8 pictures (N, H, W, 3).

    Classification: float32 scores (N, classes). Segmentation: uint8 classes of pixels (N, H, W).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    task: Literal["classification", "segmentation"]
    model: FileEntry
    labels: FileEntry


class Probe(_Strict):
    """Frames with the latents the integer reference gives for them, one array a level."""

    frames: FileEntry
    latents: FileEntry


class Manifest(_Strict):
    """``manifest.json``.

    ``serial`` rises with every bundle of a name that is signed: a node that has run one refuses
    those before it. ``reference`` says what latents usually look like, for a node's drift monitor.
    """

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    created: str
    serial: int = Field(default=0, ge=0, lt=1 << 53)
    default_level: int = Field(default=0, ge=0)
    codec: Codec
    heads: tuple[Head, ...]
    probe: Probe
    reference: FileEntry | None = None
    documents: tuple[FileEntry, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [head.name for head in self.heads]
        paths = [entry.path for entry in self.files]
        if len(set(names)) < len(names) or len(set(paths)) < len(paths):
            raise ValueError("a head name or a file path occurs twice")
        if self.default_level >= self.codec.levels:
            raise ValueError(f"default_level {self.default_level} is not among the levels")
        return self

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the bundle except the manifest itself."""
        return (
            *self.device_files,
            self.codec.decoder,
            *(entry for head in self.heads for entry in (head.model, head.labels)),
            *self.documents,
        )

    @property
    def device_files(self) -> tuple[FileEntry, ...]:
        """What a node needs: encoders, entropy models, probe frames and the reference."""
        codec = self.codec
        return (
            *(entry for encoder in codec.encoders for entry in (encoder.onnx, encoder.tflite)),
            *(codec.entropy, self.probe.frames, self.probe.latents),
            *((self.reference,) if self.reference else ()),
        )
