"""Connections of a pair, known to both: `config` decides, `driver` keeps conntrackd running."""

from .driver import ConntrackDriver

__all__ = ["ConntrackDriver"]
