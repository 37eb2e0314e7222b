"""The firmware of a server: makes its namespaces and root, then becomes the guest's PID 1.

A program of its own (`python -I -S boot.py`, a JSON `Spec` on stdin), because nova-compute has
threads and must not fork. It returns as soon as the guest runs, having written the guest's pid; it
fails with a sentence on stderr.

A guest gets a root of its own (tmpfs) with the host's programs read-only, an overlay of /etc, its
own /proc, /sys of its network namespace, a /dev without disks, and its disk and config drive. It
must never see the cloud's state, other servers, or the home directories of the host. That keeps
honest software apart from what it should not find; it is no security boundary, since a guest's
root is the host's root.
"""

import ctypes
import json
import os
import pathlib
import signal
import socket
import sys
from typing import Any, NoReturn

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
CLONE_NEWNET = 0x40000000
PR_CAPBSET_DROP = 24
# What no virtual machine could do to its host: load modules, touch raw devices, reboot, set the
# clock, make device nodes, read the kernel's log.
DROPPED_CAPABILITIES = {
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_boot": 22,
    "sys_time": 25,
    "mknod": 27,
    "syslog": 34,
}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
DIRECTORIES = {
    "etc": 0o755,
    "proc": 0o755,
    "sys": 0o755,
    "dev": 0o755,
    "run": 0o755,
    "run/lock": 0o1777,
    "mnt": 0o755,
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "var/log": 0o755,
    "var/cache": 0o755,
    "var/lib/misc": 0o755,
    "var/lib/dhcp": 0o755,
    "var/lib/astara": 0o755,
    ".etc/upper": 0o755,
    ".etc/work": 0o755,
}
Spec = dict[
    str, Any
]  # keys: uuid, hostname, directory, namespace, argv, environment, host_paths, hidden

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Start the guest that stdin describes."""
    spec: Spec = json.load(sys.stdin)
    directory = pathlib.Path(spec["directory"])
    with open(spec["namespace"], "rb") as namespace:
        _call("setns", namespace.fileno(), CLONE_NEWNET)
    _call("unshare", CLONE_NEWPID)  # takes effect for the child
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _become_guest(spec, directory, writer)
    os.close(writer)
    try:
        # Written before the guest is known to run: whoever finds us dead still finds the guest.
        (directory / "pid").write_text(f"{child}\n")
        with open(reader, "rb") as failures:
            failure = failures.read().decode()  # ends when the guest's script has been entered
    except OSError as exc:
        failure = str(exc)
    if not failure:
        return 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (directory / "pid").unlink(missing_ok=True)
    sys.stderr.write(failure + "\n")
    return 1


def _become_guest(spec: Spec, directory: pathlib.Path, writer: int) -> NoReturn:
    try:
        os.setsid()
        console = os.open(directory / "console.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for target, source in ((0, nothing), (1, console), (2, console)):
            os.dup2(source, target)
        # Here and not before the fork: our parent must keep the host's root to the end.
        _call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
        socket.sethostname(spec["hostname"])
        _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        root = build_root(spec, directory)
        enter_root(root)
        for capability in DROPPED_CAPABILITIES.values():
            _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.umask(0o022)
        argv: list[str] = spec["argv"]
        os.execve(argv[0], argv, spec["environment"])  # noqa: S606 - that is its job
    except (OSError, KeyError, ValueError) as exc:
        os.write(writer, f"{type(exc).__name__}: {exc}".encode())
    os._exit(1)


def build_root(spec: Spec, directory: pathlib.Path) -> pathlib.Path:
    """Mount everything a guest sees below <directory>/root and return that."""
    root = directory / "root"
    _mount("tmpfs", root, "tmpfs", MS_NOSUID, "size=64m,mode=755")
    os.umask(0)
    for name, mode in DIRECTORIES.items():
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        (root / name).chmod(mode)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    for path in spec["host_paths"]:
        _bind_readonly(path, root / path.lstrip("/"))
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        _same_as_host(path, root)
    for path in spec["hidden"]:
        if (root / path.lstrip("/")).is_dir():
            _mount("tmpfs", root / path.lstrip("/"), "tmpfs", MS_NOSUID, "size=4k,mode=700")
    _mount_etc(root, spec["hostname"])
    _bind_readonly(directory / "config", root / "mnt")
    _bind(directory / "disk/log", root / "var/log")
    _bind(directory / "disk/lib-astara", root / "var/lib/astara")
    _mount_kernel(root)
    return root


def enter_root(root: pathlib.Path) -> None:
    """Make root the root and let go of the host's."""
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def _mount_etc(root: pathlib.Path, hostname: str) -> None:
    layers = f"lowerdir=/etc,upperdir={root}/.etc/upper,workdir={root}/.etc/work"
    _mount("overlay", root / "etc", "overlay", 0, layers)
    for name, text in (
        ("hostname", f"{hostname}\n"),
        ("hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n"),
        ("resolv.conf", ""),  # the host's name servers are not the guest's
    ):
        path = root / "etc" / name
        path.unlink(missing_ok=True)  # may be a link to a place that only the host has
        path.write_text(text)
        path.chmod(0o644)


def _mount_kernel(root: pathlib.Path) -> None:
    hardened = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _mount("proc", root / "proc", "proc", hardened, None)
    # A mount of its own stays writable below the one that is not: the name is the server's.
    own_name = root / "proc/sys/kernel/hostname"
    _bind(own_name, own_name)
    for name in (
        "sys/kernel",
        "sys/vm",
        "sys/fs",
        "sysrq-trigger",
    ):  # the host's, not the server's
        if (root / "proc" / name).exists():
            _bind_readonly(root / "proc" / name, root / "proc" / name)
    _mount("sysfs", root / "sys", "sysfs", hardened, None)
    dev = root / "dev"
    _mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=1m,mode=755")
    for name in DEVICES:
        if pathlib.Path("/dev", name).exists():
            (dev / name).parent.mkdir(exist_ok=True)
            _bind(pathlib.Path("/dev", name), dev / name)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")
    (dev / "pts").mkdir()
    _mount(
        "devpts",
        dev / "pts",
        "devpts",
        MS_NOSUID | MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=620,gid=5",
    )
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "shm").mkdir()
    (dev / "shm").chmod(0o1777)


def _same_as_host(path: str, root: pathlib.Path) -> None:
    host = pathlib.Path(path)
    if host.is_symlink():
        (root / path.lstrip("/")).symlink_to(host.readlink())
    elif host.is_dir():
        _bind_readonly(host, root / path.lstrip("/"))


def _bind(source: str | pathlib.Path, target: pathlib.Path) -> None:
    if pathlib.Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.touch()
    _mount(source, target, None, MS_BIND | MS_REC, None)


def _bind_readonly(source: str | pathlib.Path, target: pathlib.Path) -> None:
    _bind(source, target)
    _mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)


def _mount(
    source: str | pathlib.Path | None,
    target: pathlib.Path,
    kind: str | None,
    flags: int,
    data: str | None,
) -> None:
    _call(
        "mount",
        *(None if x is None else os.fsencode(x) for x in (source, target, kind)),
        flags,
        None if data is None else data.encode(),
    )


def _call(name: str, *arguments: Any) -> None:
    words = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc, name)(*words) != 0:
        code = ctypes.get_errno()
        shown = ", ".join(repr(a) for a in arguments)
        raise OSError(code, f"{name}({shown}): {os.strerror(code)}")


if __name__ == "__main__":
    sys.exit(main())
