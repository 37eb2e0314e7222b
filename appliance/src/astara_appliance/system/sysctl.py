"""Read and set kernel parameters below /proc/sys (those under net/ belong to our network
namespace).

It never decides values. Called by the interfaces driver and astara-configure-management.
"""

import pathlib

PROC_SYS = pathlib.Path("/proc/sys")


def get(key: str) -> str | None:
    """Return the value of `key` ("net/ipv4/ip_forward"), None if this kernel or this device has no
    such parameter.
    """
    try:
        return (PROC_SYS / key).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # Some entries cannot be read while a device goes away (EINVAL): the same to us as not
        # being there.
        return None


def devices_with(pattern: str, value: str) -> frozenset[str]:
    """Return the network devices whose parameter `pattern` ("net/ipv6/conf/{}/proxy_ndp") has this
    value; "all" and "default" are none.
    """
    folder = PROC_SYS / pattern.partition("{}")[0]
    names = {path.name for path in folder.iterdir()} - {"all", "default"}
    return frozenset(name for name in names if get(pattern.format(name)) == value)


def put(key: str, value: str) -> bool:
    """Set `key` to `value` if it differs; return whether it was written. OSError if the kernel has
    none or refuses.
    """
    if get(key) == value:
        return False
    (PROC_SYS / key).write_text(value)
    return True
