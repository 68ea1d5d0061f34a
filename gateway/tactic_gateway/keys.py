"""Keys of the nodes that seal their packets: one file a node, ``NODE.key`` in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tactic_codec.errors import ConfigError
from tactic_codec.node_key import TAG_BYTES, NodeKey, Purpose, read_key
from tactic_codec.packet import Packet, pack, unpack

SUFFIX = ".key"


class Keys:
    """What is known of each node.

    Parameters
    ----------
    keys : mapping of str to NodeKey
        By the name of the node. A node that has a key here seals every packet, any other none.
    """

    def __init__(self, keys: Mapping[str, NodeKey] | None = None) -> None:
        self._keys = dict(keys or {})

    @classmethod
    def load(cls, folder: Path | None, site: str) -> Keys:
        """Read a folder; None: no node has a key.

        Raises
        ------
        ConfigError
            The folder or a file in it cannot be used.
        """
        if folder is None:
            return cls()
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; correct gateway.keys")
        found = sorted(folder.glob(f"*{SUFFIX}"))
        return cls({path.stem: NodeKey(read_key(path), site, path.stem) for path in found})

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, node: str) -> NodeKey | None:
        """The key of a node, if it has one."""
        return self._keys.get(node)

    def open(self, node: str, data: bytes) -> tuple[Packet, bytes]:
        """Read a packet, and opened if it has to be sealed.

        Returns
        -------
        Packet
        bytes
            What to store. Of a sealed packet that is its opened form, in which the sealed bit
            stays: so it can be decoded without the key, and its size on the wire is known.

        Raises
        ------
        PacketError
            See `packet.unpack` and `NodeKey.unpack`.
        """
        key = self._keys.get(node)
        if key is None:
            return unpack(data), data
        packet = key.unpack(data)
        return packet, pack(packet)

    def tag_bytes(self, node: str) -> int:
        """What `sign` adds to a message to a node."""
        return TAG_BYTES if node in self._keys else 0

    def sign(self, node: str, purpose: Purpose, body: bytes) -> bytes:
        """Authenticate a message to a node, if it has a key."""
        key = self._keys.get(node)
        return key.sign(purpose, body) if key else body
