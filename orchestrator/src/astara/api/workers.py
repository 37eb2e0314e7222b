"""Ask the workers of this node over their control sockets, all at once, each with a deadline.

Decides nothing; a worker that does not answer becomes a sentence, and the others still count. Used
by `node` alone.
"""

import concurrent.futures
import dataclasses
import typing

from ..worker import control_protocol as protocol

DEADLINE_S = 5.0
T = typing.TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Heard(typing.Generic[T]):
    """The answers that came, in the order of the workers, and what to say about the others."""

    answers: tuple[T, ...]
    faults: tuple[str, ...]


class Workers:
    """The workers of this node."""

    def __init__(self, state_path: str, count: int, deadline_s: float = DEADLINE_S) -> None:
        self._paths = [protocol.path_of(state_path, number) for number in range(count)]
        self._deadline_s = deadline_s
        self._pool = concurrent.futures.ThreadPoolExecutor(2 * count, "ask")

    def ask(self, question: protocol.Question, kind: type[T]) -> Heard[T]:
        """Ask all workers; answers of another kind are left out."""
        futures = [
            self._pool.submit(protocol.ask, path, question, self._deadline_s)
            for path in self._paths
        ]
        answers: list[T] = []
        faults: list[str] = []
        for future in futures:
            try:
                answer = future.result()
            except protocol.ControlError as fault:
                faults.append(str(fault))
                continue
            if isinstance(answer, kind):
                answers.append(answer)
            elif isinstance(answer, protocol.Failed):
                faults.append(answer.reason)
        return Heard(tuple(answers), tuple(faults))

    def close(self) -> None:
        """End the threads; what they ask ends by its deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
