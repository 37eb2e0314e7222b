"""The host's name: `driver` decides and acts, it is small enough."""

from .driver import HostnameDriver

__all__ = ["HostnameDriver"]
