"""IPv6 prefix delegation: `config` decides what is asked for and whose it is, `driver` acts."""

from .driver import DelegationDriver

__all__ = ["DelegationDriver"]
