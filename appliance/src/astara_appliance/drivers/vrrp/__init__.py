"""A router on two appliances: `config` decides what their guards are told, `driver` runs them."""

from .driver import VrrpDriver

__all__ = ["VrrpDriver"]
