"""Boot the appliance image in QEMU and use it as the orchestrator and a tenant would.

Decides whether an image is good: boots (BIOS and UEFI), takes its first settings from a config
drive, applies a document, leases an address, routes and translates a packet, lets nobody but
management in, keeps its daemons over a restart of the agent. Prints seconds and memory. It must
run in namespaces of its own (image/boot-test makes them): bridges, taps, named namespaces and
processes that it makes end with them.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

MANAGEMENT = "fdca:3ba5:a17a:acda::f00"
ORCHESTRATOR = "fdca:3ba5:a17a:acda::1"
MACS = {"mgt": "fa:16:3e:00:00:01", "ext": "fa:16:3e:00:00:02", "int": "fa:16:3e:00:00:03"}
TENANT_MAC = "fa:16:3e:00:00:aa"
TENANT_GATEWAY_LINK_LOCAL = "fe80::f816:3eff:fe00:3"
TENANT_ADDRESS = "10.20.0.7"
GATEWAY_ADDRESS = "203.0.113.7"
OUTSIDE_ADDRESS = "203.0.113.1"
API = f"http://[{MANAGEMENT}]:5000"
BOOT_TIMEOUT_S = 300.0
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

    def rss_mib(self) -> int:
        """Return what the machine costs the host, emulator included."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def main() -> int:
    """Run the test; return the exit status."""
    image = pathlib.Path(sys.argv[1]).resolve()
    if not image.is_file():
        print(f"boot-test: no image {image}: run 'make image'", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="astara-boot-test-") as name:
        work = pathlib.Path(name)
        try:
            build_networks()
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / "key"))
            config_drive(work)
            with booted(image, work, "bios") as guest:
                use_as_router(guest, work)
            with booted(image, work, "uefi"):
                pass
        except TestFailed as error:
            print(f"boot-test: FAILED: {error}", file=sys.stderr)
            return 1
    report("all good")
    return 0


# --- the world around the machine ---------------------------------------------------------------


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


def config_drive(work: pathlib.Path) -> None:
    """Write the config drive as Nova would."""
    boot = {
        "users": [
            {"name": "astara", "ssh-authorized-keys": [(work / "key.pub").read_text().strip()]}
        ],
        "astara": {
            "router_id": "11111111-2222-3333-4444-555555555555",
            "api_port": 5000,
            "management": {
                "mac": MACS["mgt"],
                "addresses": [f"{MANAGEMENT}/64"],
                "mtu": 1400,
                "routes": [],
            },
        },
    }
    latest = work / "drive/openstack/latest"
    latest.mkdir(parents=True)
    (latest / "user_data").write_text(f"#cloud-config\n{json.dumps(boot, indent=1)}\n")
    (latest / "meta_data.json").write_text('{"uuid": "test"}\n')
    run(
        *("xorriso", "-as", "mkisofs", "-quiet", "-V", "config-2", "-J", "-r"),
        *("-o", str(work / "drive.iso"), str(work / "drive")),
    )


@contextlib.contextmanager
def booted(image: pathlib.Path, work: pathlib.Path, firmware: str) -> Iterator[Guest]:
    """Boot `image` on a throw-away overlay and yield once its API answers."""
    overlay = work / f"{firmware}.qcow2"
    backing = ("-b", str(image), "-F", "qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", *backing, str(overlay))
    console = work / f"{firmware}.console"
    started = time.monotonic()
    process = subprocess.Popen(
        qemu(overlay, work, firmware, console),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    guest = Guest(process, console, started)
    try:
        try:
            status = wait("the first answer of the API", BOOT_TIMEOUT_S, lambda: alive(guest))
        except TestFailed as error:
            raise TestFailed(f"{firmware}: {error}; console:\n{tail(console)}") from error
        report(
            f"{firmware}: first answer of the API after {time.monotonic() - started:.1f} s, "
            f"emulator {guest.rss_mib()} MiB resident, agent {status['agent_version']}"
        )
        yield guest
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


def alive(guest: Guest) -> Any:
    """Return the status that the appliance reports, None if there is none yet."""
    if guest.process.poll() is not None:
        raise TestFailed(f"QEMU ended with status {guest.process.returncode}")
    return get("/v1/status")


# --- what is tested ----------------------------------------------------------------------


def use_as_router(guest: Guest, work: pathlib.Path) -> None:
    """Configure the appliance and send traffic through it."""
    begun = time.monotonic()
    digest = push(document())["digest"]
    report(f"document applied after {time.monotonic() - begun:.1f} s, digest {digest[:12]}")
    expect("digest in the status", get("/v1/status")["digest"], digest)

    begun = time.monotonic()
    lease()
    report(f"DHCP: {TENANT_ADDRESS} leased after {time.monotonic() - begun:.1f} s")
    expect("source that the outside sees", source_seen_outside(), GATEWAY_ADDRESS)
    report(f"routed and translated: the outside saw {GATEWAY_ADDRESS}")

    expect_closed()
    report("closed towards tenant and external network: ssh, API")
    look_inside(work)
    survive_agent_restart(work, digest)
    report(f"emulator {guest.rss_mib()} MiB resident in the end")


def document() -> dict[str, Any]:
    """Return the desired configuration of a router with one tenant network."""
    return {
        "schema_version": 1,
        "router_id": "11111111-2222-3333-4444-555555555555",
        "hostname": "ak-router-test",
        "default_v4_gateway": OUTSIDE_ADDRESS,
        "dns_forwarders": [OUTSIDE_ADDRESS],
        "networks": [
            network("mgt", "management", [f"{MANAGEMENT}/64"], []),
            network(
                *("ext", "external", [f"{GATEWAY_ADDRESS}/24"]),
                [{"cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE_ADDRESS}],
            ),
            network(
                *("int", "internal", ["10.20.0.1/24", f"{TENANT_GATEWAY_LINK_LOCAL}/64"]),
                [{"cidr": "10.20.0.0/24", "gateway_ip": "10.20.0.1", "dhcp_enabled": True}],
                [{"mac_address": TENANT_MAC, "ip_addresses": {TENANT_ADDRESS: True}}],
            ),
        ],
    }


def network(
    name: str,
    kind: str,
    addresses: list[str],
    subnets: list[dict[str, Any]],
    allocations: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return one network of the document."""
    return {
        "network_id": name,
        "network_type": kind,
        "interface": {"lladdr": MACS[name], "addresses": addresses},
        "subnets": subnets,
        "allocations": allocations or [],
    }


def lease() -> None:
    """Get an address by DHCP as a tenant's server does, and use it."""
    script = pathlib.Path(tempfile.mkdtemp(dir="/run")) / "script"
    script.write_text(
        "#!/bin/sh\n[ $1 = bound ] || exit 0\n"
        "ip address replace $ip/$mask dev $interface\nip route replace default via $router\n"
    )
    script.chmod(0o755)
    options = ("-i", "eth0", "-q", "-n", "-f", "-t", "10", "-T", "2", "-s", str(script))
    run("ip", "netns", "exec", "tenant", "udhcpc", *options, timeout_s=60)
    addresses = run("ip", "-n", "tenant", "-br", "-4", "address", "show", "eth0")
    if f"{TENANT_ADDRESS}/" not in addresses:
        raise TestFailed(f"DHCP gave something else: {addresses}")


def source_seen_outside() -> str:
    """Return the address from which the tenant's request reached a server outside."""
    answer = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        " def do_GET(s):\n"
        "  b=s.client_address[0].encode();s.send_response(200)\n"
        "  s.send_header('Content-Length',str(len(b)));s.end_headers();s.wfile.write(b)\n"
        " def log_message(s,*a): pass\n"
        f"h.HTTPServer(('{OUTSIDE_ADDRESS}',80),H).serve_forever()\n"
    )
    argv = ("ip", "netns", "exec", "outside", sys.executable, "-I", "-c", answer)
    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        return wait("an answer through the router", 30, lambda: inside("tenant", OUTSIDE_ADDRESS))
    finally:
        server.kill()
        server.wait()


def inside(namespace: str, host: str) -> str | None:
    """Fetch http://host/ in a namespace."""
    argv = ["ip", "netns", "exec", namespace, "curl", "-s", "-m", "5", f"http://{host}/"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout or None


def expect_closed() -> None:
    """See that ssh and API answer on no address that a tenant or the outside can name."""
    ip(f"-n tenant route replace {MANAGEMENT} via {TENANT_GATEWAY_LINK_LOCAL} dev eth0")
    for namespace, address in (
        ("tenant", "10.20.0.1"),
        ("tenant", GATEWAY_ADDRESS),
        ("tenant", MANAGEMENT),
        ("tenant", f"{TENANT_GATEWAY_LINK_LOCAL}%eth0"),
        ("outside", GATEWAY_ADDRESS),
    ):
        for port in ("22", "5000"):
            argv = ["ip", "netns", "exec", namespace, "nc", "-z", "-w", "2", address, port]
            done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
            if done.returncode == 0:
                raise TestFailed(f"{address} port {port} is open from {namespace}")


def look_inside(work: pathlib.Path) -> None:
    """Log in with the key of the config drive and look for what should not be."""
    facts = ssh(
        work,
        "sudo systemctl --failed --plain --no-legend; echo =;"
        "free -m | awk 'NR==2 {print $3, $2, $7}'; echo =;"
        "df -m / | awk 'NR==2 {print $3}'; echo =;"
        "sudo awk -F: '$2 !~ /^[*!]/ {print $1}' /etc/shadow; echo =;"
        "for p in $(pgrep astara-applianc); do sudo grep -H ^Pss: /proc/$p/smaps_rollup; done;"
        " echo =;"
        "sudo systemd-analyze time",
    )
    failed, memory, disk, passwords, agent, seconds = [
        x.strip() for x in re.split(r"^=$", facts, flags=re.MULTILINE)
    ]
    expect("failed units", failed, "")
    expect("accounts with a password", passwords, "")
    used, total, available = memory.split()
    agents = sum(int(number) for number in re.findall(r"Pss:\s*(\d+)", agent)) // 1024
    report(
        f"inside: {used} of {total} MiB used, {available} available,"
        f" agent {agents} MiB; disk {disk} MiB"
    )
    report(f"inside: {seconds.splitlines()[0]}")


def survive_agent_restart(work: pathlib.Path, digest: str) -> None:
    """Restart the agent: dnsmasq stays, and so does the configuration."""
    before = ssh(work, "pgrep -o dnsmasq")
    started = get("/v1/status")["agent_started_at"]
    ssh(work, "sudo systemctl restart astara-appliance")

    def again() -> Any:
        status = get("/v1/status")
        return status if status and status["agent_started_at"] != started else None

    status = wait("the agent's second life", 60, again)
    expect("digest after a restart of the agent", status["digest"], digest)
    expect("dnsmasq after a restart of the agent", ssh(work, "pgrep -o dnsmasq"), before)
    report("the agent restarted, its daemons lived on")


# --- effects -----------------------------------------------------------------------------


def get(path: str) -> Any:
    """Return the JSON that the appliance answers, None while it does not answer."""
    try:
        with urllib.request.urlopen(f"{API}{path}", timeout=5) as answer:
            return json.load(answer)
    except (OSError, json.JSONDecodeError):
        return None


def push(desired: dict[str, Any]) -> Any:
    """Send the document; return the answer."""
    request = urllib.request.Request(
        f"{API}/v1/system/config",
        data=json.dumps(desired).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise TestFailed(f"push refused: {error.code} {error.read().decode()}") from error


def ssh(work: pathlib.Path, command: str) -> str:
    """Run a shell command in the appliance as its operator."""
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    options += ("-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30")
    where = ("-i", str(work / "key"), f"astara@{MANAGEMENT}")
    return run("ssh", *options, *where, command, timeout_s=90)


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


def expect(what: str, found: object, wanted: object) -> None:
    """Raise TestFailed unless found is wanted."""
    if found != wanted:
        raise TestFailed(f"{what}: {found!r} instead of {wanted!r}")


def tail(console: pathlib.Path) -> str:
    """Return the end of what the machine printed."""
    return console.read_text(errors="replace")[-3000:] if console.exists() else ""


def report(text: str) -> None:
    """Print a line of the result."""
    print(f"boot-test: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
