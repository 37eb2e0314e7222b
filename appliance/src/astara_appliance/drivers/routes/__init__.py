"""Routes beyond the connected ones: `plan` decides, `driver` acts."""

from .driver import RoutesDriver

__all__ = ["RoutesDriver"]
