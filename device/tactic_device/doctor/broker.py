"""Broker and gateway, as the node would meet them."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket

from cryptography import x509

from tactic_codec.errors import TacticError
from tactic_device.config import DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import (
    Case,
    Check,
    Finding,
    NodeCheck,
    fault,
    good,
    skipped,
    warning,
    with_config,
)
from tactic_device.doctor.storage import lock_holder
from tactic_device.doctor.visit import reaches, visit
from tactic_device.topics import Topics

_USUAL = (1883, 8883)
_SOON = datetime.timedelta(days=30)


def reached(case: Case, config: DeviceConfig) -> Finding:
    """Whether something answers at the broker's place."""
    mqtt = config.mqtt
    place = f"{mqtt.host}:{mqtt.port}"
    why = visit(case, config).unreached
    if why is None:
        return good(f"something answers at {place}")
    usual = _USUAL[::-1] if mqtt.tls else _USUAL
    for port in usual:
        if port != mqtt.port and not reaches(mqtt.host, port):
            command = remedy.set_key(case.path, "mqtt.port", str(port))
            return fault(f"nothing answers at {place} ({why}), but at port {port}", command)
    if _is_here(mqtt.host):
        service = f"{remedy.as_root()}systemctl start mosquitto"
        command = service if mqtt.port == _USUAL[0] else f"mosquitto -d -p {mqtt.port}"
        return fault(f"no broker runs at {place} ({why})", command)
    return fault(f"nothing answers at {place} ({why})", remedy.quote("ping", "-c", "3", mqtt.host))


def encrypted(case: Case, config: DeviceConfig) -> Finding:
    """Whether both ends trust each other's certificates."""
    if config.mqtt.tls is None:
        return skipped("the connection is not encrypted: [mqtt.tls] is not set")
    found = visit(case, config)
    if found.unreached:
        return skipped("the broker is not reached")
    if found.unencrypted:
        place = f"{config.mqtt.host}:{config.mqtt.port}"
        command = remedy.quote("openssl", "s_client", "-brief", "-connect", place)
        return fault(f"no trust between node and broker: {found.unencrypted}", command)
    return good("the connection is encrypted, and the broker is who it should be")


def certificate(_case: Case, config: DeviceConfig) -> Finding:
    """Whether the certificates are valid for a while."""
    tls = config.mqtt.tls
    paths = [path for path in (tls.ca_file, tls.cert_file) if path] if tls else []
    if not paths:
        return skipped("no certificate is configured")
    now = datetime.datetime.now(datetime.UTC)
    for path in paths:
        command = remedy.tactic("broker", "add-node", "FOLDER", config.node.node)
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as problem:
            return fault(f"{path}: no certificate ({problem}); where the authority is", command)
        if found.not_valid_after_utc < now:
            return fault(f"{path}: its time is over; make another where the authority is", command)
        if found.not_valid_before_utc > now:
            clock = f"{remedy.as_root()}timedatectl set-ntp true"
            return fault(f"{path}: its time has not come; is the clock right?", clock)
        if found.not_valid_after_utc < now + _SOON:
            days = (found.not_valid_after_utc - now).days
            return warning(f"{path}: its time is over in {days} days", command)
    return good("the certificates are valid for 30 days and more")


def login(case: Case, config: DeviceConfig) -> Finding:
    """Whether the broker lets the node in."""
    found = visit(case, config)
    if found.unreached or found.unencrypted:
        return skipped("the broker is not reached")
    if found.refused:
        user = config.mqtt.user or config.node.node
        command = f"sudo {remedy.quote('mosquitto_passwd', '/etc/mosquitto/passwd', user)}"
        return fault(f"the broker refuses the node: {found.refused}; on its machine", command)
    return good("the broker lets the node in")


def gateway(case: Case, config: DeviceConfig) -> Finding:
    """Whether there is a gateway at this node's site."""
    found = visit(case, config)
    if found.ended:
        return skipped("the broker is not reached")
    states = {
        topic.split("/")[-3]: _field(body, "state")
        for topic, body in found.heard.items()
        if topic.endswith("/_gateway/state")
    }
    site = config.node.site
    if states.get(site) == "online":
        return good(f"there is a gateway at site {site}")
    others = sorted(name for name, state in states.items() if state == "online")
    if others:
        command = remedy.set_key(case.path, "node.site", f'"{others[0]}"')
        return fault(f"no gateway at site {site}, but at {', '.join(others)}", command)
    text = "the gateway is offline" if site in states else "no gateway has ever been here"
    command = remedy.tactic("gateway", "run", "--config", "gateway.toml")
    return warning(f"{text}: frames wait in the outbox; on its machine", command)


def its_bundle(case: Case, config: DeviceConfig) -> Finding:
    """Whether the gateway has the bundle that the node runs."""
    found = visit(case, config)
    site = config.node.site
    body = found.heard.get(f"{config.mqtt.root}/{site}/_gateway/health")
    bundles = _field(body, "bundles") if body else None
    if isinstance(case.bundle, TacticError) or not isinstance(bundles, list):
        return skipped("the gateway's bundles are not known")
    ours = f"{case.bundle.codec.wire_id:04x}"
    if ours in bundles:
        return good(f"the gateway has the node's bundle, {ours}")
    command = remedy.quote("scp", "-r", case.bundle.path, "GATEWAY:bundles/")
    return fault(
        f"the gateway has {', '.join(map(str, bundles)) or 'no bundle'}, and the node runs {ours}: "
        "its frames are stored and not decoded; copy it, and name it in [bundles] paths",
        command,
    )


def unique(case: Case, config: DeviceConfig) -> Finding:
    """Whether another node has the same name."""
    found = visit(case, config)
    if found.ended:
        return skipped("the broker is not reached")
    own = Topics(config.mqtt.root, config.node.site, config.node.node)
    body = found.heard.get(own.of("state"))
    if body and _field(body, "state") == "online" and not lock_holder(config.outbox.path):
        name = f"{config.node.node[:29]}-2"
        return fault(
            f"a node {own.site}/{own.node} is online, and it is not this one",
            remedy.set_key(case.path, "node.node", f'"{name}"'),
        )
    return good(f"nobody else is {own.site}/{own.node}")


def _over_mqtt(check: NodeCheck) -> Check:
    """A check of nodes that have a broker."""

    def run(case: Case, config: DeviceConfig) -> Finding:
        if config.datagram:
            return skipped("the node sends datagrams, and meets neither broker nor gateway")
        return check(case, config)

    return with_config(run)


def _field(body: bytes, name: str) -> object:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found.get(name) if isinstance(found, dict) else None


def _is_here(host: str) -> bool:
    if host in {"localhost", socket.gethostname()}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


CHECKS: tuple[tuple[str, Check], ...] = (
    ("broker.reached", _over_mqtt(reached)),
    ("broker.encrypted", _over_mqtt(encrypted)),
    ("broker.certificate", _over_mqtt(certificate)),
    ("broker.login", _over_mqtt(login)),
    ("gateway.online", _over_mqtt(gateway)),
    ("gateway.bundle", _over_mqtt(its_bundle)),
    ("node.unique", _over_mqtt(unique)),
)
