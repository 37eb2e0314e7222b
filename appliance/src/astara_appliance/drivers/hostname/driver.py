"""Give the host its name, in the kernel, /etc/hostname and /etc/hosts.

Without a name in the document nothing is changed. It never resolves anything. Called by the
pipeline.
"""

import dataclasses
import ipaddress
import socket
from typing import TYPE_CHECKING

from ...system import files, sysctl
from .. import base

if TYPE_CHECKING:
    import pathlib

    from astara_contract.document import Document

    from ...system.paths import Paths

_LOOPBACK = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """The kernel's host name and the text of the two files; as desired, as observed or as change
    (None: leave).
    """

    kernel: str | None
    hostname_file: str | None
    hosts_file: str | None

    def __bool__(self) -> bool:
        """Whether any of the three is given."""
        return any(part is not None for part in (self.kernel, self.hostname_file, self.hosts_file))


def plan_names(document: "Document") -> Names:
    """Compute name and files: the management addresses, if the document has any, resolve to the
    name.
    """
    name = document.hostname.rstrip(".")
    if not name:
        return Names(None, None, None)
    addresses = [
        str(ipaddress.ip_interface(text).ip)
        for network in document.networks
        if network.network_type == "management"
        for text in network.interface.addresses
        if not ipaddress.ip_interface(text).is_link_local
    ]
    hosts = "".join(f"{address} {name}\n" for address in sorted(addresses) or ["127.0.1.1"])
    return Names(kernel=name[:64], hostname_file=f"{name}\n", hosts_file=_LOOPBACK + hosts)


class HostnameDriver:
    """Host name."""

    name = "hostname"

    def __init__(self, paths: "Paths") -> None:
        self._hostname_file: pathlib.Path = paths.etc_dir / "hostname"
        self._hosts_file: pathlib.Path = paths.etc_dir / "hosts"

    def render(self, document: "Document", facts: base.Facts) -> Names:
        """Compute name and files."""
        del facts
        return plan_names(document)

    def check(self, desired: Names) -> None:
        """Accept: the type of the document's host name leaves nothing to refuse."""

    def observe(self) -> Names:
        """Read name and files."""
        return Names(
            kernel=socket.gethostname(),
            hostname_file=files.read_file(self._hostname_file),
            hosts_file=files.read_file(self._hosts_file),
        )

    def diff(self, observed: Names, desired: Names) -> Names:
        """Keep of desired what differs."""
        return Names(
            kernel=desired.kernel if desired.kernel != observed.kernel else None,
            hostname_file=(
                desired.hostname_file if desired.hostname_file != observed.hostname_file else None
            ),
            hosts_file=desired.hosts_file if desired.hosts_file != observed.hosts_file else None,
        )

    def explain(self, change: Names) -> tuple[str, ...]:
        """Name what differs."""
        told = (
            ("the host has another name", change.kernel),
            (f"{self._hostname_file} differs", change.hostname_file),
            (f"{self._hosts_file} differs", change.hosts_file),
        )
        return tuple(line for line, wanted in told if wanted is not None)

    def apply(self, change: Names) -> None:
        """Write what differs."""
        if change.hostname_file is not None:
            files.write_file(self._hostname_file, change.hostname_file)
        if change.hosts_file is not None:
            files.write_file(self._hosts_file, change.hosts_file)
        if change.kernel is not None:
            # sethostname(2) would need CAP_SYS_ADMIN.
            sysctl.put("kernel/hostname", change.kernel)

    def verify(self, desired: Names) -> None:
        """Raise VerifyFailed when name or files differ."""
        if self.diff(self.observe(), desired):
            raise base.VerifyFailed(self.name, f"the host is not called {desired.kernel}")
