"""pyroute2's rtnetlink, without the rest of pyroute2.

Importing any part of that package runs its `__init__`, which imports all 160 modules of it: a
third of a second and a tenth of the agent's memory, for sockets that it never opens. Here the
package is entered without that; whoever else asks it for a name has it loaded whole at that
moment. Decides nothing. Called by `netlink` alone.
"""

import importlib.util
import sys
import types
from typing import Any

_PACKAGE = "pyroute2"


class _Entered(types.ModuleType):
    """A package whose modules can be imported before its `__init__` has run."""

    def __getattr__(self, name: str) -> Any:
        own = self.__spec__
        if own is None or own.loader is None or name.startswith("__"):
            raise AttributeError(name)
        if importlib.util.find_spec(f"{_PACKAGE}.{name}") is not None:
            raise AttributeError(name)  # a module: it will be imported
        self.__class__ = types.ModuleType  # type: ignore[assignment]  # whole from now on
        own.loader.exec_module(self)
        return getattr(self, name)


def _enter() -> None:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    package = _Entered(_PACKAGE)
    package.__spec__, package.__file__ = spec, spec.origin
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[_PACKAGE] = package


if _PACKAGE not in sys.modules:
    _enter()

from pyroute2.iproute.linux import IPRoute as IPRoute  # noqa: E402
from pyroute2.netlink.exceptions import NetlinkError as NetlinkError  # noqa: E402
from pyroute2.netlink.rtnl import rtmsg as rtmsg  # noqa: E402
