"""A signal ends a daemon wherever its main thread is."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tactic_codec.stopping import SIGNALS, stopped_by_signals

# While the main thread holds the lock of the event, as it does on its way out of a wait.
PROGRAM = """
import os, sys
from tactic_codec.stopping import stopped_by_signals
with stopped_by_signals() as stop:
    with stop._cond:
        os.kill(os.getpid(), int(sys.argv[1]))
    print(stop.wait(10))
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_it_is_set_while_the_main_thread_holds_its_lock(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == ("True\n", "")


def test_afterwards_signals_do_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stopped_by_signals() as stop:
        assert [signal.getsignal(number) for number in SIGNALS] != before
        assert not stop.is_set()
    assert [signal.getsignal(number) for number in SIGNALS] == before
