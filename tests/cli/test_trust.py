"""Trust roots and signed bundles on the command line, and daemons that hold to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from tactic.app import app
from tactic_codec.errors import ConfigError, TacticError, TrustError

if TYPE_CHECKING:
    from conftest import Site

Fails = Callable[..., None]
BUNDLE = 4


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A trust root with the key ``release``."""
    run("trust", "init", tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "tiny")


def test_sign_verify_rotate(root: Path, bundle: Path, tmp_path: Path) -> None:
    trust, key = root / "trust.json", root / "release.key"
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TrustError, match="not signed"):
        run("bundle", "verify", bundle, "--trust", trust)
    run("bundle", "sign", bundle, "--key", key, "--serial", 5)
    assert "serial 5: signed by release" in run("bundle", "verify", bundle, "--trust", trust).stdout
    on_node = shutil.copy(trust, tmp_path / "node.json")
    run("trust", "rotate", trust, "--key", key, "--new", "second", "--remove", "release")
    assert "second" in run("trust", "show", trust).stdout
    with pytest.raises(TrustError, match="no key of the trust file"):
        run("bundle", "verify", bundle, "--trust", trust)
    # While nodes change over, a bundle carries both signatures.
    run("bundle", "sign", bundle, "--key", root / "second.key")
    for each, name in ((trust, "second"), (on_node, "release")):
        assert f"by {name}" in run("bundle", "verify", bundle, "--trust", each).stdout
    run("trust", "update", on_node, trust)
    assert "by second" in run("bundle", "verify", bundle, "--trust", on_node).stdout
    with pytest.raises(TrustError, match="its counter is 2, here is 2"):
        run("trust", "update", on_node, trust)
    # A new serial is another manifest: what others signed falls away.
    run("bundle", "sign", bundle, "--key", root / "second.key", "--serial", 6)
    assert len(json.loads((bundle / "signature.json").read_text())["signatures"]) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("init", "root"), ConfigError, "is there already; tactic trust rotate"),
        (("init", "x", "--name", "a/b"), ConfigError, "a name is letters"),
        (("init", "x", "--until", "2030"), ConfigError, "a time is like 2030-01-01T00"),
        (("rotate", "root/trust.json", "--key", "no.key"), ConfigError, "No such file"),
        (("rotate", "root/trust.json", "--key", "root/trust.json"), ConfigError, "chmod 600"),
        (
            ("rotate", "root/trust.json", "--key", "root/release.key", "--remove", "me"),
            ConfigError,
            "no such key",
        ),
        (
            ("rotate", "root/trust.json", "--key", "root/release.key", "--add", "x=12"),
            ConfigError,
            "write NAME=HEX",
        ),
        (
            ("rotate", "root/trust.json", "--key", "root/release.key", "--remove", "release"),
            ConfigError,
            "choose other keys",
        ),
        (("update", "root/trust.json", "no.json"), TrustError, "No such file"),
        (("show", "root/release.key"), TrustError, "get the trust file from"),
    ],
)
def test_mistakes_are_one_line(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    error: type[TacticError],
    words: str,
) -> None:
    monkeypatch.chdir(root.parent)
    before = (root / "trust.json").read_bytes()
    with pytest.raises(error, match=words) as caught:
        run("trust", *arguments)
    assert "\n" not in str(caught.value)
    assert (root / "trust.json").read_bytes() == before


def test_a_key_of_others_is_not_used(root: Path, bundle: Path) -> None:
    key = root / "release.key"
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="others may use this private key; chmod 600"):
        run("bundle", "sign", bundle, "--key", key)
    key.chmod(0o600)
    key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="no private key in PEM") as caught:
        run("bundle", "sign", bundle, "--key", key)
    assert "AAAA" not in str(caught.value)


def use_trust(site: Site, trust: Path) -> None:
    for room in ("device", "gateway"):
        path = site.folder / f"{room}.toml"
        path.write_text(path.read_text().replace("unsigned = true", f'trust = "{trust}"'))


def test_daemons_refuse_what_no_trusted_key_signed(
    site: Site, root: Path, bundle: Path, fails: Fails
) -> None:
    site.bundle = bundle
    site.configure(1)
    use_trust(site, root / "trust.json")
    for room in ("device", "gateway"):
        config = site.folder / f"{room}.toml"
        fails(BUNDLE, ("tiny: not signed", "tactic bundle sign"), room, "run", "-c", config)


def test_a_signed_bundle_runs_and_its_predecessor_never_again(
    site: Site, root: Path, bundle: Path, broker: Any, fails: Fails
) -> None:
    site.bundle = bundle
    site.configure(broker.port)
    use_trust(site, root / "trust.json")
    older = shutil.copytree(bundle, site.folder / "older")
    run("bundle", "sign", older, "--key", root / "release.key", "--serial", 1)
    run("bundle", "sign", bundle, "--key", root / "release.key", "--serial", 2)
    gateway, device = site.start("gateway"), site.start("device")
    assert device.wait(60) == 0
    assert site.stop(gateway) == 0
    (started,) = site.events("device", "started")
    (opened,) = site.events("gateway", "bundle_open")
    assert (started["signed_by"], opened["signed_by"]) == ("release", "release")
    path = site.folder / "device.toml"
    path.write_text(path.read_text().replace(str(bundle), str(older)))
    fails(BUNDLE, ("serial 1, this node has run 2", "newer"), "device", "run", "-c", path)
