"""What mosquitto reads: its configuration, and who may say and hear what."""

from __future__ import annotations

from pathlib import Path

GATEWAY, APPLICATIONS = "_gateway", "_app"
"""Common names that no node can have: a node's name does not begin with an underscore."""

_CONFIG = """\
# Written by tactic broker init. Mutual TLS: who has no certificate of this authority is refused.
listener {port}
cafile {place}/ca.pem
certfile {place}/broker.pem
keyfile {place}/broker.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {place}/acl

# The largest packet is 1 MiB, and its topic and properties come on top.
max_packet_size 1052672
message_size_limit 1048576

# Nodes and gateway are the memory; a broker that keeps nothing wears out no card.
persistence false
max_queued_messages 1000
max_queued_bytes 67108864
max_inflight_messages 64
max_connections 1000
max_keepalive 3600
"""

_ACL = """\
# Written by tactic broker init. A client's name is the common name of its certificate.

# The gateway.
user {gateway}
topic read {site}/+/f
topic read {site}/+/birth
topic read {site}/+/state
topic read {site}/+/health
topic read {site}/+/res
topic write {site}/+/ack
topic write {site}/+/cmd
topic write {site}/+/blob
topic write {site}/+/result/+
topic write {site}/+/last/+
topic readwrite {site}/{gateway}/state
topic write {site}/{gateway}/health

# Applications: results and what nodes say of themselves, read only.
user {applications}
topic deny {site}/{applications}/#
topic read {site}/+/state
topic read {site}/+/birth
topic read {site}/+/health
topic read {site}/+/result/+
topic read {site}/+/last/+

# A node: its own topics, and whether the gateway is there.
pattern write {site}/%u/state
pattern write {site}/%u/birth
pattern write {site}/%u/health
pattern write {site}/%u/f
pattern write {site}/%u/res
pattern read {site}/%u/ack
pattern read {site}/%u/cmd
pattern read {site}/%u/blob
pattern read {site}/{gateway}/state
"""


def config(place: Path, port: int) -> str:
    """``mosquitto.conf`` for files that lie in ``place`` on the broker's machine."""
    return _CONFIG.format(place=place, port=port)


def access(root: str, site: str) -> str:
    """``acl``: rules for gateway, applications and every node of a site."""
    return _ACL.format(site=f"{root}/{site}", gateway=GATEWAY, applications=APPLICATIONS)
