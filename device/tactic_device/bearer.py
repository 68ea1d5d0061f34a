"""What carries packets away: a thread with a loop, whatever the link behind it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter

from tactic_codec.node_key import NodeKey, Purpose
from tactic_delivery import ack as ack_message
from tactic_device.dispatch import Dispatch
from tactic_device.heart import UPLINK
from tactic_device.log import Log
from tactic_device.monitor import Monitor
from tactic_device.watch import Watch


class Bearer(ABC):
    """Runs between `start` and `stop`.

    Parameters
    ----------
    dispatch : Dispatch
    key : NodeKey or None
        Believe only what the gateway said with it.
    log : Log
    monitor : Monitor or None
        Told that the thread works.

    Attributes
    ----------
    counts : Counter of str
        What was sent and heard, for health and metrics.
    """

    def __init__(
        self, dispatch: Dispatch, key: NodeKey | None, log: Log, monitor: Monitor | None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._dispatch = dispatch
        self._key = key
        self._log = log
        self._monitor = monitor
        self._watch = Watch(dispatch, log)
        self._fault: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink")

    def start(self) -> None:
        """Start the thread; does not wait for the link."""
        self._thread.start()

    @abstractmethod
    def wake(self) -> None:
        """Look at once whether there is something to send."""

    @abstractmethod
    def announce(self) -> None:
        """Say again what the node is: what it runs has changed."""

    @abstractmethod
    def report(self) -> None:
        """Say now how the node is: something has changed that people should know."""

    def check(self) -> None:
        """Raise here what ended the thread, if something did."""
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        """Take leave of the gateway where the link can, end the thread."""
        self._stopping.set()
        self.wake()
        self._thread.join()

    @abstractmethod
    def _step(self) -> None:
        """One round of the loop; returns within a second or so."""

    @abstractmethod
    def _close(self) -> None:
        """The loop has ended."""

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step()
        except Exception as fault:  # handed to the main thread by check()
            self._fault = fault
        finally:
            if self._monitor:
                self._monitor.heart.forget(UPLINK)
            self._close()

    def _take_ack(self, message: bytes, now_ns: int) -> None:
        """Forget what the gateway has.

        Raises
        ------
        AckError, PacketError
            It is no acknowledgement, or not the gateway's.
        """
        body = self._key.open(Purpose.ACK, message) if self._key else message
        self._dispatch.on_ack(ack_message.unpack(body), now_ns)
        self.counts["acks"] += 1

    def _refuse_ack(self, cause: Exception) -> None:
        self.counts["acks_rejected"] += 1
        if self.counts["acks_rejected"] == 1:
            self._log.warning("ack_rejected", cause=str(cause))
