"""IPsec with strongSwan: `config` decides what the daemon is told, `routing` what enters a tunnel,
`states` how a connection is, `driver` acts.
"""

from .driver import IpsecDriver

__all__ = ["IpsecDriver"]
