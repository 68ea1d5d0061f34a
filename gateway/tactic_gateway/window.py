"""How many packets a node may have on their way: fewer when the gateway falls behind."""

from __future__ import annotations

#: More than a node sends at once, so that a healthy gateway slows nobody down.
MOST_PACKETS = 128


def window(room: int, nodes: int, backlog: int, max_backlog: int) -> int:
    """Packets that each node may have on their way.

    Parameters
    ----------
    room : int
        Messages that still fit into the inlet, which all nodes share.
    nodes : int
        Nodes that are sending.
    backlog, max_backlog : int
        Frames that are not decoded yet, and how many there may be. From half of it on the window
        shrinks, and it is 0 at the whole.

    Returns
    -------
    int
        0 … `MOST_PACKETS`; 0 tells a node to wait.
    """
    share = min(1.0, 2 * (1 - backlog / max_backlog))
    if share <= 0:
        return 0
    return max(1, int(min(MOST_PACKETS, room / max(1, nodes)) * share))
