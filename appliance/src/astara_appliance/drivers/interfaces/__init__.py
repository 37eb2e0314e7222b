"""Links, their addresses and their kernel parameters: `plan` decides, `driver` acts."""

from .driver import InterfacesDriver

__all__ = ["InterfacesDriver"]
