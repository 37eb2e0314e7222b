"""Where the appliance keeps its files: one value that every driver gets, so that tests can move
all of it.

It decides names only and never touches the disk. `Paths()` is the layout of a real appliance;
`Paths.under(root)` the same tree below another directory.
"""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one appliance."""

    state_dir: pathlib.Path = pathlib.Path("/var/lib/astara")
    """Survives a reboot: committed document, NIC names, counters, leases. Readable by root alone
    (it holds keys).
    """

    run_dir: pathlib.Path = pathlib.Path("/run/astara")
    """Gone after a reboot: pid files, control sockets, rendered daemon configuration."""

    log_dir: pathlib.Path = pathlib.Path("/var/log/astara")
    """Standard output and error of each daemon, one file by name."""

    etc_dir: pathlib.Path = pathlib.Path("/etc")
    """System files we own a line or a whole file of: hostname, hosts."""

    @classmethod
    def under(cls, root: pathlib.Path) -> "Paths":
        """Lay the same tree out below `root`."""
        return cls(
            state_dir=root / "var/lib/astara",
            run_dir=root / "run/astara",
            log_dir=root / "var/log/astara",
            etc_dir=root / "etc",
        )
