"""The node's configuration, `device.toml`. `device.example.toml` explains every key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tactic_codec.config import LocalPath, Section
from tactic_codec.node_key import OVERHEAD_BYTES, NodeKey, read_key
from tactic_codec.packet import HEADER_BYTES
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.trusting import TrustSettings
from tactic_delivery.limits import Limits
from tactic_device.gate import Gate
from tactic_device.link_config import Datagram, Mqtt, Rate, Sending
from tactic_device.memory import Memory, default_folder

LEAST_BUDGET_BYTES = HEADER_BYTES + STATE_BYTES

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9-][a-z0-9_-]{0,31}$")]


class Node(Section):
    """Who this node is; ``site`` and ``node`` together name its topics.

    ``key_file`` is a secret that the gateway has too: packets are then sealed, and only its
    acknowledgements and commands are believed.
    """

    site: Name
    node: NodeName
    key_file: LocalPath | None = None

    def read_key(self) -> NodeKey | None:
        """Read the key, if there is one.

        Raises
        ------
        ConfigError
            It cannot be used.
        """
        return NodeKey(read_key(self.key_file), self.site, self.node) if self.key_file else None


class BundleSettings(TrustSettings):
    """The codec to run, and whose it may be.

    ``slots`` is a folder for bundles that come over the air; the latest that was kept runs in the
    place of ``path``. A new one is on trial for ``trial_s``, in which no frame may take longer
    than ``frame_limit_s``.
    """

    path: LocalPath
    slots: LocalPath | None = None
    trial_s: float = Field(default=30.0, ge=1.0, le=600.0)
    frame_limit_s: float = Field(default=2.0, gt=0.0)

    @model_validator(mode="after")
    def _signed_over_the_air(self) -> Self:
        if self.slots is not None and self.trust is None:
            raise ValueError("slots need trust: what comes over the air has to be signed")
        return self


class Source(Section):
    """Where pictures come from.

    ``fps`` paces files and limits cameras (0: as fast as they come). ``limit`` ends the run after
    so many frames (0: never). A camera that gives no sign of life for ``deadline_s`` is killed and
    started again. Its first ``settle_frames`` pictures are not used: its exposure has to settle. A
    source that ends waits ``drain_s`` for the last acknowledgements.
    """

    kind: Literal["folder", "video", "opencv", "picamera2"]
    path: LocalPath | None = None
    device: int | None = Field(default=None, ge=0)
    url: str | None = None
    fps: float = Field(default=0.0, ge=0.0, le=1000.0)
    loop: bool = False
    limit: int = Field(default=0, ge=0)
    deadline_s: float = Field(default=8.0, gt=0.0)
    settle_frames: int = Field(default=5, ge=0, le=1000)
    drain_s: float = Field(default=60.0, ge=0.0)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needs = {"folder": "path", "video": "path"}.get(self.kind)
        if needs and self.path is None:
            raise ValueError(f"kind {self.kind} needs {needs}")
        if self.kind == "opencv" and (self.device is None) == (self.url is None):
            raise ValueError("kind opencv needs either device or url")
        return self


class Encoder(Section):
    """How the encoder runs.

    ``geometry`` is WIDTHxHEIGHT, one that the bundle declares. ``level`` is a rate level, 0 the
    finest; none: the one that the bundle recommends. ``budget_bytes`` is the most that a frame may
    take, header included: the end of its stream is left off.
    """

    runtime: Literal["auto", "native", "litert", "tflite", "onnxruntime"] = "auto"
    geometry: Annotated[str, Field(pattern=r"^[0-9]+x[0-9]+$")] | None = None
    level: int | None = Field(default=None, ge=0, le=7)
    budget_bytes: int | None = Field(default=None, ge=LEAST_BUDGET_BYTES)
    threads: int = Field(default=1, ge=1, le=64)


class Frames(Section):
    """What frames are worth.

    ``priority``: 0 (given up first) … 3 (alarm). A frame that was not acknowledged within
    ``deadline_s`` is given up (0: never).
    """

    priority: int = Field(default=1, ge=0, le=3)
    deadline_s: float = Field(default=0.0, ge=0.0)


class OutboxSettings(Section):
    """Where frames wait for their acknowledgement.

    ``durability``: ``spill`` keeps frames in memory, below ``ram_path``, and moves to ``path``
    those that wait for longer than ``spill_after_s``; ``batch`` writes all of them to ``path`` and
    syncs them every 16 frames or every second; ``frame`` syncs each. A power cut costs at most what
    lies in memory, what is not synced, or nothing. A killed process costs nothing.
    """

    path: LocalPath
    max_bytes: int = Field(default=64 << 20, ge=4 << 20)
    durability: Literal["frame", "batch", "spill"] = "spill"
    ram_path: LocalPath | None = None
    ram_bytes: int = Field(default=16 << 20, ge=4 << 20)
    spill_after_s: float = Field(default=60.0, ge=1.0)

    @property
    def memory(self) -> Memory:
        """The log in memory."""
        folder = self.ram_path or default_folder(self.path)
        return Memory(folder, self.ram_bytes, self.spill_after_s)


class Gating(Section):
    """For fixed cameras: send what changed.

    A frame is sent where its latents differ from those of the last frame that was sent by
    ``threshold`` times the margin of the last answer, or more (0: every frame is sent), and at the
    latest after ``heartbeat_s``.
    """

    threshold: float = Field(default=0.0, ge=0.0)
    heartbeat_s: float = Field(default=60.0, gt=0.0)

    def gate(self) -> Gate | None:
        """The state machine; None where every frame is sent."""
        return Gate(self.threshold, int(self.heartbeat_s * 1e9)) if self.threshold else None


class Refine(Section):
    """What the gateway may ask for later: the ends that were left off frames.

    ``ring_bytes`` of memory hold those of the latest frames; 0: none. ``first_layers``: so many
    layers of a stream are sent at first (0: all); alarms are sent whole.
    """

    ring_bytes: int = Field(default=1 << 20, ge=0, le=1 << 30)
    first_layers: int = Field(default=0, ge=0, le=3)

    @model_validator(mode="after")
    def _keeps_the_rest(self) -> Self:
        if self.first_layers and not self.ring_bytes:
            raise ValueError("first_layers needs ring_bytes: the other layers would be lost")
        return self


class DriftSettings(Section):
    """Whether the camera's pictures still look like those that are known.

    ``reference``: what they are compared with. ``bundle``: what the bundle says, or where it says
    nothing, as with ``own``, the first ``learn_frames`` frames of this camera. ``none``: nothing.
    The alarm rises at ``factor`` times the largest distance that chance gave.
    """

    reference: Literal["bundle", "own", "none"] = "bundle"
    learn_frames: int = Field(default=1000, ge=200, le=100_000)
    factor: float = Field(default=2.0, ge=1.0, le=100.0)


class MetricsSettings(Section):
    """Figures for Prometheus, at http://``host``:``port``/metrics; without a port none."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)


class DeviceConfig(Section):
    """The whole file."""

    node: Node
    bundle: BundleSettings
    source: Source
    encoder: Encoder = Encoder()
    frames: Frames = Frames()
    outbox: OutboxSettings
    sending: Sending = Sending()
    rate: Rate = Rate()
    gating: Gating = Gating()
    refine: Refine = Refine()
    drift: DriftSettings = DriftSettings()
    metrics: MetricsSettings = MetricsSettings()
    mqtt: Mqtt = Mqtt()
    datagram: Datagram | None = None

    @model_validator(mode="before")
    @classmethod
    def _cut_for_the_link(cls, data: Any) -> Any:
        """Budgets are of what the link carries, so they have to know how packets are cut."""
        try:
            of_link = {"datagram_bytes": Datagram.model_validate(data["datagram"]).mtu_bytes}
            return {**data, "rate": of_link | data.get("rate", {})}
        except (KeyError, TypeError, ValueError):  # is complained of where it stands
            return data

    @model_validator(mode="after")
    def _one_bearer(self) -> Self:
        if self.datagram is None:
            return self
        if "mqtt" in self.model_fields_set:
            raise ValueError("give [mqtt] or [datagram], not both")
        if self.bundle.slots is not None:
            raise ValueError("bundle.slots needs [mqtt]: no bundle comes over datagrams")
        if self.refine.first_layers:
            raise ValueError("refine.first_layers needs [mqtt]: nobody asks for the rest")
        return self

    @model_validator(mode="after")
    def _budget_holds_a_state(self) -> Self:
        if self.budget_bytes is not None and self.budget_bytes < LEAST_BUDGET_BYTES:
            least_bytes = LEAST_BUDGET_BYTES + OVERHEAD_BYTES
            raise ValueError(
                f"encoder.budget_bytes must be at least {least_bytes} with node.key_file"
            )
        return self

    @property
    def limits(self) -> Limits:
        """What the sender of this node's bearer is held to."""
        usual = self.sending.limits
        return self.datagram.limits(usual, self.rate.rate_bps) if self.datagram else usual

    @property
    def budget_bytes(self) -> int | None:
        """What ``encoder.budget_bytes`` leaves for a packet that is not sealed yet."""
        return self.before_seal(self.encoder.budget_bytes)

    def before_seal(self, budget_bytes: int | None) -> int | None:
        """What a budget leaves for a packet that is not sealed yet."""
        if budget_bytes is None or self.node.key_file is None:
            return budget_bytes
        return budget_bytes - OVERHEAD_BYTES
