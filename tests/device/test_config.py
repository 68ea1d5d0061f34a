from pathlib import Path

import pytest

from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_device.config import DeviceConfig

EXAMPLE = Path(__file__).parents[2] / "device/device.example.toml"
SMALLEST = """\
[node]
site = "yard"
node = "cam1"
[bundle]
path = "bundle"
unsigned = true
[source]
kind = "folder"
path = "pictures"
[outbox]
path = "outbox"
"""


DATAGRAM = '[datagram]\nsend_to = "udp://127.0.0.1:7100"\nmtu_bytes = 51\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "device.toml"
    path.write_text(text)
    return path


def test_the_example_is_valid_and_names_every_default(tmp_path: Path) -> None:
    config = load(EXAMPLE, DeviceConfig)
    assert config.bundle.path == EXAMPLE.parent / "../bundles/photo1000"
    smallest = load(write(tmp_path, SMALLEST), DeviceConfig)
    assert config.mqtt == smallest.mqtt
    assert config.encoder == smallest.encoder
    assert smallest.outbox.path == tmp_path / "outbox"
    assert config.frames == smallest.frames
    assert config.sending == smallest.sending
    assert config.rate == smallest.rate
    assert config.gating == smallest.gating
    assert smallest.rate.budgets is None
    assert smallest.gating.gate() is None
    paths = {"path", "ram_path"}
    assert config.outbox.model_dump(exclude=paths) == smallest.outbox.model_dump(exclude=paths)
    assert smallest.outbox.memory.folder.parent == Path("/dev/shm")


def test_the_commented_lines_of_the_example_are_valid_too(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("per_mb = 0.0", "per_mb = 5.0")
    for line in (
        "geometry =",
        "level =",
        "budget_bytes =",
        "user =",
        "password_file =",
        "[mqtt.tls]",
        "ca_file =",
        "cert_file =",
        "key_file =",
        "ram_path =",
        "rate_bps =",
        "duty_cycle =",
        "air_bps =",
        "day_bytes =",
        "day_cost =",
        "coarsest =",
        "passes =",
    ):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    config = load(write(tmp_path, text), DeviceConfig)
    assert config.encoder.budget_bytes == 1000
    assert config.mqtt.tls is not None
    assert config.mqtt.tls.key_file == tmp_path / "cam1.key"


@pytest.mark.parametrize(
    ("line", "replaced", "complaint"),
    [
        ('site = "yard"', "", r"device.toml:1: node.site: required"),
        ('site = "yard"', 'sight = "yard"', r"device.toml:2: node.sight: unknown key; .*site"),
        ('node = "cam1"', 'node = "_cam"', r"device.toml:3: node.node: .*'_cam'"),
        ("unsigned = true", "", r"device.toml:4: bundle: add trust = FILE .*or unsigned = true"),
        ("= true", '= true\ntrust = "t"', r"device.toml:4: bundle: trust and unsigned exclude"),
        ('path = "pictures"', "", r"device.toml:7: source: kind folder needs path"),
        ('path = "pictures"', "fsp = 2", r"device.toml:9: source.fsp: unknown key; .*fps"),
        ('kind = "folder"', 'kind = "opencv"', r"device.toml:7: source: kind opencv needs"),
        ("[bundle]", "[mqtt]\nport = 0\n[bundle]", r"device.toml:5: mqtt.port: .*0"),
        ("[bundle]", '[mqtt]\npassword = "x"\n[bundle]', r":4: mqtt: a password without a user"),
        ('path = "outbox"', 'path = "o"\nmax_bytes = 1', r":12: outbox.max_bytes: .*4194304"),
        ("[bundle]", "[encoder]\nbudget_bytes = 23\n[bundle]", r":5: encoder.budget_bytes: .*23"),
        ("[bundle]", "[rate]\nduty_cycle = 0.01\n[bundle]", r":4: rate: duty_cycle needs air_bps"),
        ("[bundle]", "[rate]\nday_cost = 1\n[bundle]", r":4: rate: day_cost needs per_mb"),
        ("[bundle]", "[gating]\nheartbeat_s = 0\n[bundle]", r":5: gating.heartbeat_s: "),
        ("[bundle]", "[bundel]\n[bundle]", r":4: bundel: unknown key; did you mean bundle"),
        ("[bundle]", "[datagram]\nmtu_bytes = 51\n[bundle]", r":4: datagram.send_to: required"),
        ("[bundle]", DATAGRAM.replace("51", "23") + "[bundle]", r"datagram.mtu_bytes: .*23"),
        ("[bundle]", DATAGRAM.replace("udp:", "tcp:") + "[bundle]", r"send_to: write udp://HOST"),
        ("[bundle]", DATAGRAM + "most_timeout_s = 1\n[bundle]", r":4: datagram: first_timeout_s"),
        ("[bundle]", DATAGRAM + "[mqtt]\n[bundle]", r"give \[mqtt\] or \[datagram\], not both"),
        ("[bundle]", DATAGRAM + "[refine]\nfirst_layers = 1\n[bundle]", r"first_layers needs"),
        ("unsigned = true", 'trust = "t"\nslots = "s"\n' + DATAGRAM, r"slots needs \[mqtt\]"),
    ],
)
def test_mistakes_are_one_line_with_file_and_line(
    tmp_path: Path, line: str, replaced: str, complaint: str
) -> None:
    path = write(tmp_path, SMALLEST.replace(line, replaced, 1))
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(path, DeviceConfig)
    assert "\n" not in str(caught.value)


def test_the_commented_datagrams_of_the_example_are_valid(tmp_path: Path) -> None:
    section = EXAMPLE.read_text().partition("# [datagram]")[2].partition("\n\n")[0]
    lines = ["[datagram]", *(line.removeprefix("# ") for line in section.splitlines()[1:])]
    config = load(write(tmp_path, SMALLEST + "\n".join(lines)), DeviceConfig)
    shortest = load(write(tmp_path, SMALLEST + DATAGRAM), DeviceConfig)
    assert config.datagram and shortest.datagram
    assert str(config.datagram.listen) == "udp://127.0.0.1:7101"
    places = {"listen"}
    assert config.datagram.model_dump(exclude=places) == shortest.datagram.model_dump(
        exclude=places
    )


def test_over_datagrams_budgets_are_of_what_the_link_carries(tmp_path: Path) -> None:
    rate = "[rate]\nduty_cycle = 0.01\nair_bps = 8000\noverhead_bytes = 13\n"
    config = load(write(tmp_path, SMALLEST + DATAGRAM + rate), DeviceConfig)
    assert config.rate.datagram_bytes == 51
    # 300 bytes are 51 and 6 times 46, of which the last is 19 short: each has 13 bytes more.
    assert config.rate.airtime_ns(300) == 1_000_000 * (300 + 6 * 5 + 7 * 13)
    assert config.limits.first_credit == 1
    assert config.limits.live_share == config.sending.live_share
    own = load(write(tmp_path, SMALLEST + DATAGRAM + rate + "datagram_bytes = 64"), DeviceConfig)
    assert own.rate.datagram_bytes == 64


def test_passwords_are_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s3cret\n")
    text = SMALLEST + '[mqtt]\nuser = "cam"\n'
    inline = load(write(tmp_path, text + 'password = "s3cret"\n'), DeviceConfig)
    assert inline.mqtt.secret() == "s3cret"
    assert "s3cret" not in repr(inline)
    kept = load(write(tmp_path, text + 'password_file = "pw"\n'), DeviceConfig)
    assert kept.mqtt.secret() == "s3cret"
    (tmp_path / "pw").unlink()
    with pytest.raises(ConfigError, match=r"pw: .*password_file"):
        kept.mqtt.secret()
