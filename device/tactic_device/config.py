"""The node's configuration, `device.toml`. `device.example.toml` explains every key."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from tactic_codec.config import LocalPath, Section
from tactic_codec.errors import ConfigError
from tactic_codec.node_key import OVERHEAD_BYTES, NodeKey, read_key
from tactic_codec.packet import HEADER_BYTES
from tactic_codec.rans_twin import STATE_BYTES
from tactic_codec.trusting import TrustSettings
from tactic_delivery.allowance import Budgets
from tactic_delivery.schedule import Schedule
from tactic_delivery.sender import Limits
from tactic_device.gate import Gate
from tactic_device.memory import Memory, default_folder
from tactic_device.passes import read_passes

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


class Tls(Section):
    """An encrypted connection.

    ``ca_file`` checks the broker (the system's authorities without it); ``cert_file`` and
    ``key_file`` identify the node.
    """

    ca_file: LocalPath | None = None
    cert_file: LocalPath | None = None
    key_file: LocalPath | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        return self


class Mqtt(Section):
    """The broker."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    user: str | None = None
    password: SecretStr | None = None
    password_file: LocalPath | None = None
    root: str = Field(default="tactic/v1", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    health_s: float = Field(default=30.0, ge=0.1)
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password and self.password_file:
            raise ValueError("give password or password_file, not both")
        if (self.password or self.password_file) and not self.user:
            raise ValueError("a password needs a user")
        return self

    def secret(self) -> str | None:
        """Return the password, from wherever it is kept.

        Raises
        ------
        ConfigError
            The password file cannot be read.
        """
        if self.password_file is None:
            return self.password.get_secret_value() if self.password else None
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(
                f"{self.password_file}: password file cannot be read; "
                "correct mqtt.password_file or its permissions"
            ) from fault


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


class Sending(Section):
    """What goes first.

    While live frames and backlog both wait, at least ``live_share`` of the bytes are live. When a
    gateway or broker returns, the node begins within ``start_within_s``, at random.
    """

    live_share: float = Field(default=0.75, gt=0.0, lt=1.0)
    start_within_s: float = Field(default=2.0, ge=0.0, le=60.0)

    @property
    def limits(self) -> Limits:
        """As the sender takes them."""
        start_within_ns = int(self.start_within_s * 1e9)
        return Limits(live_share=self.live_share, start_within_ns=start_within_ns)


class Rate(Section):
    """What the link may be given; without any budget every frame is sent at one level.

    ``rate_bps``: bits a second, of which ``burst_s`` may go at once. ``duty_cycle``: share of
    airtime in any hour, at ``air_bps`` bits a second on air. ``day_bytes`` and ``day_cost``: in any
    24 hours; the price is ``per_mb`` and ``per_message``, in the currency of ``day_cost``.
    ``overhead_bytes``: what the link adds to each packet. ``coarsest`` is the last level that
    frames may get before some are skipped. ``alarm_share`` of each budget is for alarms only.
    ``passes``: a table of contacts known beforehand.
    """

    rate_bps: float | None = Field(default=None, gt=0.0)
    burst_s: float = Field(default=10.0, ge=1.0)
    duty_cycle: float | None = Field(default=None, gt=0.0, le=1.0)
    air_bps: float | None = Field(default=None, gt=0.0)
    day_bytes: int | None = Field(default=None, ge=1000)
    day_cost: float | None = Field(default=None, gt=0.0)
    per_mb: float = Field(default=0.0, ge=0.0)
    per_message: float = Field(default=0.0, ge=0.0)
    overhead_bytes: int = Field(default=80, ge=0)
    alarm_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    coarsest: int | None = Field(default=None, ge=0, le=7)
    passes: LocalPath | None = None

    @model_validator(mode="after")
    def _budgets_have_what_they_need(self) -> Self:
        if self.duty_cycle is not None and self.air_bps is None:
            raise ValueError("duty_cycle needs air_bps")
        if self.day_cost is not None and not self.per_mb and not self.per_message:
            raise ValueError("day_cost needs per_mb or per_message")
        return self

    @property
    def budgets(self) -> Budgets | None:
        """As the state machines take them; None where nothing is limited."""
        limits = (self.rate_bps, self.duty_cycle, self.day_bytes, self.day_cost, self.passes)
        if all(limit is None for limit in limits):
            return None
        return Budgets(
            rate_bps=self.rate_bps,
            burst_s=self.burst_s,
            duty_cycle=self.duty_cycle,
            day_bytes=self.day_bytes,
            day_usd=self.day_cost,
            usd_per_mb=self.per_mb,
            usd_per_message=self.per_message,
            overhead_bytes=self.overhead_bytes,
            alarm_share=self.alarm_share,
        )

    def airtime_ns(self, size_bytes: int) -> int:
        """Time on air of a packet."""
        assert self.air_bps is not None, "checked beside duty_cycle"
        return round(8e9 * (size_bytes + self.overhead_bytes) / self.air_bps)

    def schedule(self, boot_unix_ns: int) -> Schedule | None:
        """Contacts on the clock that counts from the start of the machine.

        Raises
        ------
        ConfigError
            The table cannot be used.
        """
        return read_passes(self.passes, boot_unix_ns) if self.passes else None


class Gating(Section):
    """For fixed cameras: send what changed.

    A frame is sent where its latents differ from those of the last frame that was sent by
    ``threshold`` or more (0: every frame is sent), and at the latest after ``heartbeat_s``.
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

    @model_validator(mode="after")
    def _budget_holds_a_state(self) -> Self:
        if self.budget_bytes is not None and self.budget_bytes < LEAST_BUDGET_BYTES:
            least_bytes = LEAST_BUDGET_BYTES + OVERHEAD_BYTES
            raise ValueError(
                f"encoder.budget_bytes must be at least {least_bytes} with node.key_file"
            )
        return self

    @property
    def budget_bytes(self) -> int | None:
        """What ``encoder.budget_bytes`` leaves for a packet that is not sealed yet."""
        return self.before_seal(self.encoder.budget_bytes)

    def before_seal(self, budget_bytes: int | None) -> int | None:
        """What a budget leaves for a packet that is not sealed yet."""
        if budget_bytes is None or self.node.key_file is None:
            return budget_bytes
        return budget_bytes - OVERHEAD_BYTES
