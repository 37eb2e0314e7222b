"""Draw what is broken, when and for how long; pure, and the same for the same seed.

A schedule is a list of rounds; a round is some strikes within a few seconds, which may overlap.
Every kind comes up before any comes up again.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

WINDOW_S = 4.0  # within which the strikes of a round begin
SINGLE_SHARE = 0.4  # of the rounds have one fault alone, so that figures can be told apart
TOGETHER = (2, 3)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A kind of fault and for how long it may last, in seconds."""

    kind: str
    shortest_s: float
    longest_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Strike:
    """One fault of a round; `seed` is for what it chooses by itself."""

    kind: str
    at_s: float
    hold_s: float
    seed: int


Round = tuple[Strike, ...]


def rounds(seed: int, faults: int, spans: Sequence[Span]) -> list[Round]:
    """Draw so many faults, in rounds."""
    chance = random.Random(seed)
    kinds = _shuffled_forever(chance, spans)
    drawn: list[Round] = []
    left = faults
    while left:
        wanted = 1 if chance.random() < SINGLE_SHARE else chance.randint(*TOGETHER)
        size = min(left, wanted)
        drawn.append(tuple(_strike(chance, next(kinds), alone=size == 1) for _ in range(size)))
        left -= size
    return drawn


def every(seed: int, spans: Sequence[Span], times: int = 1) -> list[Round]:
    """Draw each kind so many times, alone in its round, each once before any comes up again."""
    chance = random.Random(seed)
    kinds = _shuffled_forever(chance, spans)
    return [(_strike(chance, next(kinds), alone=True),) for _ in range(times * len(spans))]


def _shuffled_forever(chance: random.Random, spans: Sequence[Span]) -> Iterator[Span]:
    while True:
        yield from chance.sample(spans, len(spans))


def _strike(chance: random.Random, span: Span, *, alone: bool) -> Strike:
    return Strike(
        kind=span.kind,
        at_s=0.0 if alone else round(chance.uniform(0, WINDOW_S), 2),
        hold_s=round(chance.uniform(span.shortest_s, span.longest_s), 2),
        seed=chance.randrange(2**32),
    )
