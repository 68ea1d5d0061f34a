"""The gateway's half of refinement: of which frames to ask for the words that were left off.

No I/O and no clock. A frame is asked for where the head is less sure of it than a threshold, as
long as the node's mean bytes a frame stay within a budget. What is asked for and never comes is
given up: the first answer stands. Normative text: ``docs/delivery.md``, "Refinement".
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tactic_codec.types import FrameKey

#: Frames that are asked for, of all nodes; more are not.
MOST_OPEN = 4096
#: As many as one command may name.
MOST_IN_REQUEST = 64
MOST_NODES = 1024
#: So many frames of the budget a node may save up, or owe.
_FRAMES_OF_CREDIT = 64
#: A part is taken to be as long as those that came, each of them with this weight.
_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Policy:
    """When to ask.

    Attributes
    ----------
    threshold : float
        Score of the best class, 0 … 1, below which a frame is asked for.
    budget_bytes : float or None
        Mean bytes of all packets of a frame, header included, that a node is held to; None: any.
    gather_ns : int
        So long a frame may wait for others to be named in the same command.
    repeat_ns, deadline_ns : int
        What has not come is asked for again, and in the end given up.
    """

    threshold: float
    budget_bytes: float | None = None
    gather_ns: int = 1_000_000_000
    repeat_ns: int = 20_000_000_000
    deadline_ns: int = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """Frames of one boot of a node to ask for, in one command."""

    node: str
    boot: int
    frames: tuple[int, ...]


@dataclass(slots=True)
class _Open:
    score: float
    first_bytes: int
    due_ns: int
    until_ns: int
    asked: bool = False
    set_aside: float = 0.0


@dataclass(slots=True)
class _Account:
    """What a node may spend: rises with every frame, falls with every packet."""

    credit: float = 0.0
    part_bytes: float = 0.0


class Refinement:
    """State machine over all nodes of a gateway; bounded, and empty after a restart.

    Parameters
    ----------
    policy : Policy
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._open: OrderedDict[FrameKey, _Open] = OrderedDict()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self.given_up = 0

    def __len__(self) -> int:
        """Frames that are asked for or will be."""
        return len(self._open)

    def first(self, key: FrameKey, score: float, size_bytes: int, cut: bool, now_ns: int) -> None:
        """Note the first answer of a frame.

        Parameters
        ----------
        key : FrameKey
        score : float
            Of the best class, 0 … 1.
        size_bytes : int
            Of its packets.
        cut : bool
            Whether words of its stream were left off.
        now_ns : int
        """
        self._earn(key.node, size_bytes)
        policy = self._policy
        if cut and score < policy.threshold and len(self._open) < MOST_OPEN:
            due_ns, until_ns = now_ns + policy.gather_ns, now_ns + policy.deadline_ns
            self._open.setdefault(key, _Open(score, size_bytes, due_ns, until_ns))

    def refined(self, key: FrameKey, size_bytes: int) -> None:
        """Note an answer on the frame with its refinement; ``size_bytes`` of all its packets."""
        entry = self._open.pop(key, None)
        if entry is None:
            return
        account = self._account(key.node)
        more_bytes = size_bytes - entry.first_bytes
        known = account.part_bytes or more_bytes
        account.credit += entry.set_aside - more_bytes
        account.part_bytes = known + _SHARE * (more_bytes - known)

    def poll(self, now_ns: int) -> list[Request]:
        """What to ask for now, the least sure first; gives up what is too late."""
        late = [key for key, entry in self._open.items() if entry.until_ns <= now_ns]
        for key in late:
            entry = self._open.pop(key)
            self.given_up += entry.asked
        due: defaultdict[tuple[str, int], list[tuple[float, FrameKey]]] = defaultdict(list)
        for key, entry in self._open.items():
            if entry.due_ns <= now_ns:
                due[key.node, key.boot].append((entry.score, key))
        return [
            Request(node, boot, frames)
            for (node, boot), found in due.items()
            for frames in self._chosen(node, sorted(found), now_ns)
        ]

    def _chosen(
        self, node: str, found: list[tuple[float, FrameKey]], now_ns: int
    ) -> Iterator[tuple[int, ...]]:
        """Numbers of the frames that the budget allows, as commands name them."""
        account = self._account(node)
        frames: list[int] = []
        for _, key in found:
            entry = self._open[key]
            if not entry.asked:
                if self._policy.budget_bytes is not None and account.credit <= 0:
                    del self._open[key]
                    continue
                entry.set_aside = account.part_bytes or self._policy.budget_bytes or 0.0
                account.credit -= entry.set_aside
            entry.asked, entry.due_ns = True, now_ns + self._policy.repeat_ns
            frames.append(key.seq)
        for start in range(0, len(frames), MOST_IN_REQUEST):
            yield tuple(sorted(frames[start : start + MOST_IN_REQUEST]))

    def _earn(self, node: str, size_bytes: int) -> None:
        budget_bytes = self._policy.budget_bytes
        if budget_bytes is None:
            return
        account = self._account(node)
        most = _FRAMES_OF_CREDIT * budget_bytes
        account.credit = min(most, max(-most, account.credit + budget_bytes - size_bytes))

    def _account(self, node: str) -> _Account:
        if node not in self._accounts:
            self._accounts[node] = _Account()
            if len(self._accounts) > MOST_NODES:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(node)
        return self._accounts[node]
