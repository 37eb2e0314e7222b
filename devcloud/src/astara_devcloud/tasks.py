"""Runs named tasks in parallel, each after those that it needs.

Knows nothing of services. A failed task does not stop others that do not need it, so that one
start shows every failure; tasks behind a failed one are skipped.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One step: what to call, and the names of the steps before it."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What failed, and what was therefore not tried."""

    failures: Mapping[str, BaseException]
    skipped: tuple[str, ...]


class OrderError(Exception):
    """The needs of the tasks name an unknown task or form a circle."""


def ordered(tasks: Iterable[Task]) -> list[str]:
    """Return the names in an order in which every task follows its needs."""
    waiting = {task.name: set(task.needs) for task in tasks}
    unknown = {need for needs in waiting.values() for need in needs} - waiting.keys()
    if unknown:
        raise OrderError(f"unknown: {', '.join(sorted(unknown))}")
    done: list[str] = []
    while waiting:
        free = sorted(name for name, needs in waiting.items() if needs <= set(done))
        if not free:
            raise OrderError(f"a circle among: {', '.join(sorted(waiting))}")
        done.extend(free)
        for name in free:
            del waiting[name]
    return done


def restrict(tasks: Sequence[Task], wanted: Iterable[str]) -> list[Task]:
    """Keep the wanted tasks; needs that are left out count as fulfilled."""
    names = set(wanted)
    return [
        dataclasses.replace(task, needs=tuple(n for n in task.needs if n in names))
        for task in tasks
        if task.name in names
    ]


def run(tasks: Sequence[Task], parallel: int) -> Outcome:
    """Run all tasks and return what failed. An interrupt leaves at once; threads run on."""
    ordered(tasks)
    pool = concurrent.futures.ThreadPoolExecutor(parallel, "task")
    try:
        return _run(tasks, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _run(tasks: Sequence[Task], pool: concurrent.futures.Executor) -> Outcome:
    waiting = {task.name: task for task in tasks}
    done: set[str] = set()
    failures: dict[str, BaseException] = {}
    running: dict[concurrent.futures.Future[None], str] = {}
    while True:
        for name in [n for n, t in waiting.items() if set(t.needs) <= done]:
            running[pool.submit(waiting.pop(name).run)] = name
        if not running:
            return Outcome(failures, tuple(waiting))
        finished, _ = concurrent.futures.wait(
            running, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in finished:
            name = running.pop(future)
            error = future.exception()
            if error is None:
                done.add(name)
            else:
                failures[name] = error
