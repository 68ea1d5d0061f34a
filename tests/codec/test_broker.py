"""``[mqtt]``: secrets are read and not shown, and what is amiss is one line with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tactic_codec.broker import Mqtt, Tls
from tactic_codec.errors import ConfigError


def test_a_password_in_a_file_may_hold_anything_but_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(" s3 cret \r\n")
    assert Mqtt(user="u", password_file=path).secret() == " s3 cret "


def test_a_password_is_not_shown() -> None:
    config = Mqtt.model_validate({"user": "u", "password": "s3cret"})
    assert config.secret() == "s3cret"
    assert "s3cret" not in f"{config!r} {config}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"password": "x"}, "a password without a user; add user"),
        ({"user": "u", "password": "x", "password_file": "y"}, "exclude each other; remove one"),
        ({"tls": {"key_file": "x"}}, "belong together; add the other"),
        ({"tls": {"cert_file": "x"}}, "belong together; add the other"),
    ],
)
def test_halves_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mqtt.model_validate(given)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pem: .*; correct the files in \[mqtt\.tls\]"):
        Tls(ca_file=tmp_path / "none.pem").context()
    with pytest.raises(ConfigError, match=r"none: .*correct mqtt\.password_file"):
        Mqtt(user="u", password_file=tmp_path / "none").secret()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem: .*\[mqtt\.tls\]"):
        Tls(ca_file=path).context()
