"""A BGP neighbour on the external network, for the test of the image: a BIRD of somebody else.

It lives in the namespace `outside`, announces a prefix, and tells what it has learned. Knows
nothing of how the appliance does its part. Called by boot_test.
"""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

from machine import OUTSIDE_ADDRESS, run

ANNOUNCED = "198.51.100.0/24"
_KEY, _OWN_AS, _THEIR_AS = "key-of-the-test", 64513, 64512


def section() -> dict[str, Any]:
    """Return what the appliance's document says of this neighbour."""
    neighbor = {"address": OUTSIDE_ADDRESS, "password": _KEY, "bfd": True, "accept": [ANNOUNCED]}
    return {"asn": _THEIR_AS, "neighbor_asn": _OWN_AS, "bgp": {"neighbors": [neighbor]}}


@contextlib.contextmanager
def running(appliance: str, work: pathlib.Path) -> Iterator[pathlib.Path]:
    """Run the neighbour; yield where it is asked."""
    file, control = work / "neighbour.conf", work / "neighbour.ctl"
    file.write_text(
        f"router id {OUTSIDE_ADDRESS};\nprotocol device {{}}\n"
        'protocol bfd { interface "eth0" { interval 300 ms; multiplier 5; }; }\n'
        f"protocol static {{ ipv4; route {ANNOUNCED} blackhole; }}\n"
        f"protocol bgp appliance {{ local {OUTSIDE_ADDRESS} as {_OWN_AS};"
        f' neighbor {appliance} as {_THEIR_AS}; password "{_KEY}"; bfd on;'
        " connect delay time 1; error wait time 1, 2; ipv4 { import all; export all; }; }\n"
    )
    argv = ["ip", "netns", "exec", "outside", "bird", "-f", "-c", str(file), "-s", str(control)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield control
    finally:
        process.terminate()
        process.wait(10)


def has_learned(control: pathlib.Path, prefix: str) -> bool | None:
    """Say whether the neighbour knows a route to `prefix` by the appliance."""
    if not control.exists():
        return None
    return True if prefix in run("birdc", "-s", str(control), "show", "route") else None
