"""conntrackd's configuration: reliable exchange (FTFW) with the peer on the management network.

Decides that every connection is told but those of the appliance with itself and on management,
and that what the other one tells waits outside the kernel until we are master (the guard brings it
in). conntrackd.conf(5). Pure; called by `driver`.
"""

import ipaddress
import pathlib

from ..firewall.skeleton import CONNTRACKD_PORT

_BUFFER = 4 * 1024 * 1024


def configuration(device: str, own: str, peer: str, run_dir: pathlib.Path) -> str:
    """Return the configuration for the exchange between `own` and `peer` on `device`."""
    version = ipaddress.ip_address(peer).version
    return f"""Sync {{
    Mode FTFW {{
        ResendQueueSize 131072
        PurgeTimeout 15
        ACKWindowSize 300
        DisableExternalCache off
    }}
    UDP {{
        IPv{version}_address {own}
        IPv{version}_Destination_Address {peer}
        Port {CONNTRACKD_PORT}
        Interface {device}
        SndSocketBuffer {_BUFFER}
        RcvSocketBuffer {_BUFFER}
        Checksum on
    }}
    Options {{
        TCPWindowTracking off
    }}
}}
General {{
    Systemd off
    HashSize 32768
    HashLimit 262144
    LogFile off
    Syslog off
    LockFile {run_dir}/conntrackd.lock
    UNIX {{
        Path {run_dir}/conntrackd.ctl
    }}
    NetlinkBufferSize {_BUFFER}
    NetlinkBufferSizeMaxGrowth {4 * _BUFFER}
    Filter From Kernelspace {{
        Address Ignore {{
            IPv4_address 127.0.0.1
            IPv6_address ::1
            IPv{version}_address {own}
            IPv{version}_address {peer}
        }}
    }}
}}
"""
