"""The configuration, and the secrets that it names."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from tactic_codec.errors import ConfigError
from tactic_device.config import DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import Case, Check, Finding, fault, good, skipped, with_config

_OTHERS = stat.S_IRWXO
_PLACE = re.compile(r":(\d+): ")
_NEAR = re.compile(r"did you mean (\w+)\?")


def valid(case: Case) -> Finding:
    """Whether the configuration can be read."""
    found = case.config
    if isinstance(found, DeviceConfig):
        return good(f"{case.path} is a configuration, of {found.node.site}/{found.node.node}")
    text = str(found)
    if not case.path.exists():
        root = [] if case.root == Path("/") else ["--root", case.root]
        command = f"{remedy.as_root()}{remedy.tactic('device', 'install', *root)}"
        return fault(text, command)
    place = _PLACE.search(text)
    line = int(place[1]) if place else 1
    if "required but missing" in text or "TOML syntax" in text:
        return fault(text, f"{remedy.sudo(case.path)}nano {remedy.quote(f'+{line}', case.path)}")
    if near := _NEAR.search(text):
        wrong = text[place.end() :].split(":", maxsplit=1)[0].rpartition(".")[2] if place else ""
        return fault(text, remedy.replace(case.path, line, wrong, near[1]))
    return fault(text, remedy.comment(case.path, line))


def private(case: Case, config: DeviceConfig) -> Finding:
    """Whether a password in the configuration is for the service only."""
    if config.mqtt.password is None:
        return good("the configuration holds no password")
    if case.path.stat().st_mode & _OTHERS:
        return fault(
            f"{case.path} holds a password, and everybody may read it",
            f"{remedy.sudo(case.path)}{remedy.quote('chmod', 'o-rwx', case.path)}",
        )
    return good(f"{case.path} is for the service only")


def secrets(_case: Case, config: DeviceConfig) -> Finding:
    """Whether password and certificate keys are there, for the service only."""
    tls = config.mqtt.tls
    named = {
        "mqtt.password_file": config.mqtt.password_file,
        "mqtt.tls.key_file": tls.key_file if tls else None,
    }
    paths = {key: path for key, path in named.items() if path}
    for key, path in paths.items():
        if not path.is_file():
            command = f"{remedy.sudo(path)}install -m 600 /dev/stdin {remedy.quote(path)}"
            return fault(f"{path}: {key} is missing; give its content to this command", command)
        if path.stat().st_mode & _OTHERS:
            command = f"{remedy.sudo(path)}{remedy.quote('chmod', 'o-rwx', path)}"
            return fault(f"{path}: everybody may read what {key} names", command)
    if not paths:
        return skipped("no password file and no certificate is configured")
    return good("password and certificate are for the service only")


def node_key(_case: Case, config: DeviceConfig) -> Finding:
    """Whether the key that seals packets can be used."""
    path = config.node.key_file
    if path is None:
        return skipped("packets are not sealed: node.key_file is not set")
    try:
        config.node.read_key()
    except ConfigError as problem:
        if not path.is_file():
            command = f"{remedy.sudo(path)}{remedy.tactic('trust', 'node-key', path)}"
        elif path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            command = f"{remedy.sudo(path)}{remedy.quote('chmod', '600', path)}"
        else:
            command = (
                f"{remedy.sudo(path)}{remedy.quote('mv', path, f'{path}.bad')} && "
                f"{remedy.sudo(path)}{remedy.tactic('trust', 'node-key', path)}"
            )
        return fault(f"{problem}; the gateway needs the same file", command)
    return good(f"{path} seals this node's packets")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("config.valid", valid),
    ("config.private", with_config(private)),
    ("config.secrets", with_config(secrets)),
    ("config.node_key", with_config(node_key)),
)
