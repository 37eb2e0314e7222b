"""Give up, for this process and all that it starts, every capability that no driver needs.

Decides which ones are needed; the systemd unit of the image names the same. What is left out on
purpose: CAP_SYS_ADMIN (mounting, namespaces), CAP_SYS_MODULE, CAP_SYS_PTRACE, CAP_BPF,
CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_MKNOD. Programs gain nothing by being executed
either. Called once by the agent, before it has threads: the kernel keeps all this per thread.
"""

import ctypes
import errno
import logging
import os
import pathlib

LOG = logging.getLogger(__name__)

# Numbers are those of linux/capability.h.
NEEDED = {
    "CAP_CHOWN": 0,  # files of daemons that give up root
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,  # signals to such daemons
    "CAP_SETGID": 6,  # giving up root
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,  # DHCP, DNS, BGP, metadata
    "CAP_NET_ADMIN": 12,  # links, addresses, routes, nft, tc, conntrack, tunnels
    "CAP_NET_RAW": 13,  # ARP, neighbour advertisements, ping, VRRP
    "CAP_SYS_CHROOT": 18,  # HAProxy
    "CAP_SYS_NICE": 23,  # keepalived, conntrackd: they must not be late
}
_LAST = pathlib.Path("/proc/sys/kernel/cap_last_cap")
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def give_up() -> None:
    """Keep NEEDED, or what we have of it. OSError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    needed = sum(1 << number for number in NEEDED.values())
    _bound(libc, needed)
    _must(_prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL), "ambient")
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    _must(libc.capget(ctypes.byref(header), sets), "capget")
    for half, part in enumerate(sets):
        part.permitted &= (needed >> 32 * half) & 0xFFFFFFFF
        part.effective &= part.permitted
        part.inheritable = 0
    _must(libc.capset(ctypes.byref(header), sets), "capset")
    _must(_prctl(libc, _PR_SET_NO_NEW_PRIVS, 1), "no new privileges")


def _bound(libc: ctypes.CDLL, needed: int) -> None:
    for number in range(int(_LAST.read_text()) + 1):
        if needed >> number & 1 or not _prctl(libc, _PR_CAPBSET_DROP, number):
            continue
        if ctypes.get_errno() == errno.EPERM:
            # Whoever started us has taken CAP_SETPCAP: how far down we are is theirs to say.
            LOG.warning("privileges.not_bounded reason=%s", "CAP_SETPCAP is missing")
            return
        _must(-1, f"capability {number}")


def _prctl(libc: ctypes.CDLL, *arguments: int) -> int:
    padded = (*arguments, 0, 0, 0)[:5]
    return int(libc.prctl(*(ctypes.c_ulong(argument) for argument in padded)))


def _must(status: int, what: str) -> None:
    if status:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot give up privileges ({what}): {os.strerror(code)}")
