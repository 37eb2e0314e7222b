"""Putting rows of one statement back under the things they belong to; pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


def by_key(items: Iterable[_Item], key: Callable[[_Item], str]) -> dict[str, tuple[_Item, ...]]:
    """Return the items by key, each group in the order it came in."""
    return pairs((key(item), item) for item in items)


def pairs(items: Iterable[tuple[str, _Value]]) -> dict[str, tuple[_Value, ...]]:
    """Return the values by the key that each came with, in the order they came in."""
    found: dict[str, list[_Value]] = defaultdict(list)
    for key, value in items:
        found[key].append(value)
    return {key: tuple(values) for key, values in found.items()}
