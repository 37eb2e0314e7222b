"""A virtual machine for the test of the image, and the networks around it.

Decides the machine and the devices that Nova would ask for, by software emulation. Knows nothing
of what is tested. It must run in namespaces of its own (image/boot-test makes them): bridges,
taps, named namespaces and processes that it makes end with them. Called by boot_test.
"""

import contextlib
import dataclasses
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

MANAGEMENT = "fdca:3ba5:a17a:acda::f00"
ORCHESTRATOR = "fdca:3ba5:a17a:acda::1"
MACS = {"mgt": "fa:16:3e:00:00:01", "ext": "fa:16:3e:00:00:02", "int": "fa:16:3e:00:00:03"}
TENANT_MAC = "fa:16:3e:00:00:aa"
OUTSIDE_ADDRESS = "203.0.113.1"
GUEST_MIB = 512
UEFI = pathlib.Path("/usr/share/OVMF")


class TestFailed(Exception):
    """The image does not do what it should; the text says what."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A running virtual machine."""

    process: subprocess.Popen[bytes]
    console: pathlib.Path
    started: float

    def age_s(self) -> float:
        """Return the seconds since it was turned on."""
        return time.monotonic() - self.started

    def rss_mib(self) -> int:
        """Return what the machine costs the host, emulator included."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def build_networks() -> None:
    """Make a bridge and a tap for each NIC, and the namespaces `outside` and `tenant`."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns") if pathlib.Path(
        "/run/netns"
    ).exists() else (run("mount", "-t", "tmpfs", "tmpfs", "/run"))
    pathlib.Path("/run/netns").mkdir(exist_ok=True)
    ip("link set lo up")
    for network in MACS:
        ip(f"link add br-{network} type bridge")
        ip(f"tuntap add tap-{network} mode tap")
        ip(f"link set tap-{network} master br-{network} up")
        pathlib.Path(f"/proc/sys/net/ipv6/conf/br-{network}/accept_dad").write_text("0")
        ip(f"link set br-{network} up")
    ip(f"address add {ORCHESTRATOR}/64 dev br-mgt nodad")
    for namespace, network in (("outside", "ext"), ("tenant", "int")):
        ip(f"netns add {namespace}")
        ip(f"link add {namespace} type veth peer name eth0 netns {namespace}")
        ip(f"link set {namespace} master br-{network} up")
        ip(f"-n {namespace} link set lo up")
    ip(f"-n tenant link set eth0 address {TENANT_MAC}")
    for namespace in ("outside", "tenant"):
        ip(f"-n {namespace} link set eth0 up")
    ip(f"-n outside address add {OUTSIDE_ADDRESS}/24 dev eth0")


@contextlib.contextmanager
def running(disk: pathlib.Path, work: pathlib.Path, firmware: str) -> Iterator[Guest]:
    """Run the machine; its power is cut in the end."""
    console = work / f"{firmware}.console"
    started = time.monotonic()
    argv = qemu(disk, work, firmware, console)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield Guest(process, console, started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def qemu(
    disk: pathlib.Path, work: pathlib.Path, firmware: str, console: pathlib.Path
) -> list[str]:
    """Return the command line: software emulation, the machine and devices that Nova asks for."""
    argv = ["qemu-system-x86_64", "-accel", "tcg,tb-size=128", "-m", str(GUEST_MIB)]
    argv += ["-nodefaults", "-display", "none", "-serial", f"file:{console}"]
    argv += ["-machine", "q35" if firmware == "uefi" else "pc", "-no-reboot"]
    if firmware == "uefi":
        variables = work / "uefi-variables.fd"
        variables.write_bytes((UEFI / "OVMF_VARS_4M.fd").read_bytes())
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={UEFI}/OVMF_CODE_4M.fd"]
        argv += ["-drive", f"if=pflash,format=raw,file={variables}"]
    argv += ["-drive", f"if=virtio,format=qcow2,file={disk},cache=unsafe"]
    argv += [
        "-drive",
        f"if=none,id=drive,media=cdrom,readonly=on,format=raw,file={work}/drive.iso",
    ]
    if firmware == "uefi":
        argv += ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=drive"]
    else:
        argv += ["-device", "ide-cd,drive=drive"]
    argv += [
        "-object",
        "rng-random,id=rng0,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=rng0",
    ]
    for network, mac in MACS.items():
        argv += ["-netdev", f"tap,id={network},ifname=tap-{network},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev={network},mac={mac},romfile="]
    return argv


def ip(arguments: str) -> None:
    """Run ip(8)."""
    run("ip", *arguments.split())


def run(*argv: str, timeout_s: float = 60) -> str:
    """Run a program to its end and return what it printed; TestFailed if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise TestFailed(f"{' '.join(argv)}: no end after {timeout_s:g} s") from error
    if done.returncode != 0:
        raise TestFailed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def wait(what: str, timeout_s: float, probe: Callable[[], T | None]) -> T:
    """Return the first result of `probe` that is not None; TestFailed after the deadline."""
    deadline = time.monotonic() + timeout_s
    while (found := probe()) is None:
        if time.monotonic() > deadline:
            raise TestFailed(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.2)
    return found
