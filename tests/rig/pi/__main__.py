"""An emulated Raspberry Pi beside this machine: ``python -m rig.pi [--json]``, or ``make pi-test``.

Latents of all runtimes, packets, decoded symbols and pixels, golden files, and a whole node with a
broker and a gateway on this machine, for the processors of a Pi 4 and of a Pi 5. It proves function
and equal bytes, never speed. Exit code 1: a line does not hold; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rig.pi import chain, compared, wheels
from rig.pi.compared import Plan
from rig.pi.lines import Line
from rig.pi.root import BOARDS, SHARED, PiError, Root

REPOSITORY = Path(__file__).parents[3]


def run(plan: Plan) -> Iterator[Line]:
    """Prepare what is not there yet, then compare; one line after the other."""
    with plan.step(f"Debian {plan.suite} for ARM"):
        plan.share.mkdir(parents=True, exist_ok=True)
        root = Root(plan.suite, plan.cache, plan.share)
    with plan.step("wheels for ARM"):
        wheels.for_the_pi(plan.share, REPOSITORY / "dist", plan.python)
    with plan.step("the same versions for this machine"):
        wheels.for_this_machine(plan.share, REPOSITORY / "dist", plan.python)
    program, settings = "python3", {"PYTHONPATH": str(SHARED / "pi-device")}
    if plan.pip:
        with plan.step("pip install on the Pi"):
            program, settings = wheels.install(root, plan.python), {}
        yield Line("any", f"pip install {wheels.DEVICE}", "wheels only, no compiler there", True)
    compared.collect(plan, REPOSITORY)
    here = compared.measure(plan, compared.this_machine(plan))
    for board in plan.boards:
        side = compared.emulated(root, board)
        yield from compared.compare(board, here, compared.measure(plan, side))
        yield from compared.golden(plan, side, board)
        with plan.step(f"node on a {board.name}"):
            yield from chain.run(root, board, plan.share, [program], settings, plan.sent)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rig.pi", description=__doc__)
    parser.add_argument("--suite", choices=tuple(wheels.PYTHONS), default="bookworm")
    boards = [board.cpu for board in BOARDS]
    parser.add_argument("--cpu", choices=boards, action="append", help="default: both")
    parser.add_argument("--frames", type=int, default=36, help="whose latents are compared")
    parser.add_argument("--sent", type=int, default=6, help="that the node sends")
    parser.add_argument("--no-pip", dest="pip", action="store_false", help="leave its pip out")
    cache = Path.home() / ".cache/tactic-pi"
    parser.add_argument("--cache", type=Path, default=cache, help=f"default: {cache}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Print a line for each requirement; 1: one does not hold."""
    given = _arguments()
    data = os.environ.get("TACTIC_DATA")
    if data is None:
        print("rig.pi: TACTIC_DATA is not set: it names the folder of the photos", file=sys.stderr)
        return 2
    boards = tuple(board for board in BOARDS if given.cpu is None or board.cpu in given.cpu)
    plan = Plan(given.suite, boards, given.frames, given.sent, given.pip, given.cache, Path(data))
    began_s = time.monotonic()
    found: list[Line] = []
    try:
        for line in run(plan):
            found.append(line)
            if not given.json:
                print(line, flush=True)
    except PiError as fault:
        print(f"rig.pi: {fault}", file=sys.stderr)
        return 2
    good = all(line.good for line in found)
    took_s = round(time.monotonic() - began_s)
    if given.json:
        rows = [line.as_json() for line in found]
        print(json.dumps({"suite": plan.suite, "took_s": took_s, "good": good, "lines": rows}))
    else:
        print(f"{sum(line.good for line in found)} of {len(found)} lines hold, in {took_s} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
