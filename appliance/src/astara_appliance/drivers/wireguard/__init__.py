"""WireGuard: `config` decides what wg(8) is told and what leads into the device, `driver` acts."""

from .driver import WireguardDriver

__all__ = ["WireguardDriver"]
