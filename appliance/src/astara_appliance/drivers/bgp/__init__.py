"""BGP with BIRD: `config` decides what it is told, `driver` acts."""

from .driver import BgpDriver

__all__ = ["BgpDriver"]
