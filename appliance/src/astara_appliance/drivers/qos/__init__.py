"""Rate limits of public addresses: `plan` decides the traffic classes, `driver` makes them."""

from .driver import QosDriver

__all__ = ["QosDriver"]
