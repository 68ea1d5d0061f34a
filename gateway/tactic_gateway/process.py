"""The gateway's side of a worker process: start it, hand it frames, end it when it overruns."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from tactic_codec.errors import BundleError
from tactic_gateway import messages
from tactic_gateway.errors import WorkerLostError
from tactic_gateway.messages import OUT_OF_MEMORY, Setup
from tactic_gateway.pipes import Channel, Message, Patience
from tactic_gateway.records import Job
from tactic_gateway.results import Verdict

# -P: a module in the folder that the gateway was started in is not taken for one of ours.
COMMAND = (sys.executable, "-P", "-m", "tactic_gateway.worker")

_GOODBYE_S = 2.0


def require_networks() -> None:
    """Find out whether workers can run networks here, without loading what they need.

    Raises
    ------
    ImportError
        ONNX Runtime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ModuleNotFoundError("no ONNX Runtime", name="onnxruntime")


class Worker(Protocol):
    """What decodes frames; one thread uses it at a time."""

    def start(self, left_s: Patience) -> None:
        """Get ready to decode."""

    def process(self, jobs: Sequence[Job], left_s: Patience) -> list[Verdict]:
        """Say what becomes of each frame, in their order."""

    def stop(self) -> None:
        """End; it may be started again."""


class Process:
    """A worker process, started anew after each loss.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    def start(self, left_s: Patience) -> None:
        """Start the process and wait until it is ready.

        It dies with the thread that calls this.

        Raises
        ------
        BundleError
            A bundle cannot be used.
        WorkerLostError
            It ended, or was not ready in time.
        """
        # A session of its own: an interrupt from the keyboard reaches the gateway alone.
        self._process = process = subprocess.Popen(
            COMMAND,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        self._channel = Channel(process.stdout.fileno(), process.stdin.fileno())
        head, _ = self._ask(messages.pack_setup(self._setup), left_s)
        if "ready" not in head:
            self.stop()
            raise BundleError(str(head.get("fault", "the worker is not ready")))

    def process(self, jobs: Sequence[Job], left_s: Patience) -> list[Verdict]:
        """Have frames decoded.

        Raises
        ------
        WorkerLostError
            The process ended, did not answer in time, or answered nonsense; it has to be started
            again.
        """
        answer = self._ask(messages.pack_jobs(jobs), left_s)
        try:
            return messages.unpack_verdicts(answer, len(jobs))
        except ValueError as fault:
            self.stop()
            raise WorkerLostError("crash", f"the worker answered {fault}") from fault

    def stop(self) -> None:
        """End the process: at once if it does not end by itself."""
        if self._process is None:
            return
        process, self._process, self._channel = self._process, None, None
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _ask(self, message: Message, left_s: Patience) -> Message:
        assert self._process is not None and self._channel is not None
        process = self._process
        try:
            self._channel.send(*message, left_s)
            return self._channel.receive(left_s)
        except TimeoutError as fault:
            process.kill()
            self.stop()
            raise WorkerLostError("timeout", "no answer in time") from fault
        except EOFError as fault:
            self.stop()
            raise _lost(process.returncode) from fault
        except ValueError as fault:
            self.stop()
            raise WorkerLostError("crash", f"the worker answered {fault}") from fault


def _lost(code: int) -> WorkerLostError:
    if code == OUT_OF_MEMORY:
        return WorkerLostError("memory", "it needed more memory than workers.memory_limit_bytes")
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return WorkerLostError("crash", f"the worker ended with {ended}")
