"""Proxy neighbour discovery: the appliance answers outside for hosts inside."""

from .driver import NeighboursDriver

__all__ = ["NeighboursDriver"]
