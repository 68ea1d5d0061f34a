"""``gateway.toml``: the example is valid and complete, mistakes name their line."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.errors import ConfigError, TacticError
from tactic_gateway import service
from tactic_gateway.config import GatewayConfig, load

EXAMPLE = Path(__file__).parents[2] / "gateway" / "gateway.example.toml"
SHORTEST = """\
[gateway]
site = "lab"
[bundles]
paths = ["b"]
unsigned = true
[store]
path = "s.db"
"""


@pytest.fixture
def folder(tmp_path: Path, bundle: Bundle) -> Path:
    """Where a bundle lies beside the configuration."""
    (tmp_path / "b").symlink_to(bundle.path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    example = load(tmp_path / EXAMPLE.name)
    assert example.store.path == tmp_path / "gateway.db"
    shortest = load(write(tmp_path, SHORTEST))
    assert example.mqtt == shortest.mqtt
    assert example.workers == shortest.workers
    assert example.results == shortest.results
    assert example.gateway == shortest.gateway


def test_the_example_shows_every_key() -> None:
    # Lines that are commented out begin with "# key =" or "# [table]".
    shown = tomllib.loads(re.sub(r"^# (?=\w+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE))

    def check(model: Any, table: dict[str, object]) -> None:
        assert set(table) == set(model.model_fields) - {"password"}
        for name, value in table.items():
            annotation = model.model_fields[name].annotation
            if isinstance(value, dict):
                nested = getattr(annotation, "__args__", (annotation,))[0]
                check(nested, value)

    check(GatewayConfig, shown)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHORTEST + "[mqtt]\nprt = 1\n", "9: mqtt.prt: unknown key; did you mean port?"),
        (SHORTEST + '[mqtt]\nport = "x"\n', "9: mqtt.port: "),
        (SHORTEST.replace("lab", "La b"), "2: gateway.site: "),
        (SHORTEST.replace("unsigned = true\n", ""), "3: bundles: add trust = FILE (tactic"),
        (SHORTEST.replace("= true", '= true\ntrust = "t"'), "3: bundles: trust and unsigned ex"),
        (SHORTEST.replace('"b"', ""), "4: bundles.paths: "),
        (SHORTEST + '[mqtt]\npassword = "x"\n', "8: mqtt: a password without a user; add user"),
        ('[gateway]\nsite = "lab"\n', "1: bundles: required but missing; add it"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_the_password_is_not_shown(tmp_path: Path) -> None:
    config = load(write(tmp_path, SHORTEST + '[mqtt]\nuser = "u"\npassword = "hunter2"\n'))
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("[gateway]", "[gatewey]"), 3, "gatewey: unknown key"),
        (('"b"', '"nowhere"'), 4, "give the directory of a bundle"),
        (('"b"', '"b", "b"'), 4, "is also that of another path; remove one of them"),
        (('"s.db"', '"b"'), 8, "check [store] path"),
        (("[store]", '[mqtt]\nuser = "u"\npassword_file = "none"\n[store]'), 3, "password_file"),
        (("[store]", '[mqtt.tls]\nca_file = "none"\n[store]'), 3, "[mqtt.tls]"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    folder: Path, change: tuple[str, str], code: int, message: str
) -> None:
    with pytest.raises(TacticError) as fault:
        service.main(write(folder, SHORTEST.replace(*change)))
    assert fault.value.exit_code == code
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)
