"""Independent simulations in several processes, the results in the order of the tasks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

T = TypeVar("T")


def run_all(
    work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int, done: Callable[[], None]
) -> list[T]:
    """Call ``work`` with the arguments of each task.

    Parameters
    ----------
    work : callable
        At the top level of a module, as its arguments and results travel between processes.
    tasks : sequence of tuple
    jobs : int
        Processes; 1: none but this one.
    done : callable
        Called after each task.
    """
    if jobs == 1 or len(tasks) < 2:
        results = []
        for task in tasks:
            results.append(work(*task))
            done()
        return results
    # A forked process would inherit the threads of whoever calls this.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=context) as pool:
        waiting = [pool.submit(work, *task) for task in tasks]
        for _ in as_completed(waiting):
            done()
        return [each.result() for each in waiting]
