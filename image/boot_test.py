"""Boot the appliance image in QEMU and use it as the orchestrator and a tenant would.

Decides whether an image is good: boots (BIOS and UEFI), takes its first settings and certificate
from a config drive, applies a document that is pushed over mutual TLS, leases an address, routes
and translates a packet, lets nobody but management in, speaks BGP, leads a pair, has tunnels of
IPsec and WireGuard by its own kernel, keeps its daemons over a restart of the agent and all of its
configuration over a power cut. Prints seconds and memory. Started by image/boot-test, in
namespaces of its own.
"""

import contextlib
import functools
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import machine
import neighbour
from machine import (
    MACS,
    MANAGEMENT,
    OUTSIDE_ADDRESS,
    TENANT_MAC,
    Guest,
    TestFailed,
    ip,
    run,
    wait,
)
from orchestrating import ROUTER, Orchestrator
from tunnels import BY_IPSEC, BY_WIREGUARD, FarSite

from astara_contract import status as observed

TENANT_GATEWAY_LINK_LOCAL = "fe80::f816:3eff:fe00:3"
TENANT_ADDRESS = "10.20.0.7"
GATEWAY_ADDRESS = "203.0.113.7"
FLOATING_ADDRESS = "203.0.113.50"
ABSENT_PEER = "fdca:3ba5:a17a:acda::f01"
BOOT_TIMEOUT_S = 300.0


def main() -> int:
    """Run the test; return the exit status."""
    image = pathlib.Path(sys.argv[1]).resolve()
    if not image.is_file():
        print(f"boot-test: no image {image}: run 'make image'", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="astara-boot-test-") as name:
        try:
            try_out(image, pathlib.Path(name))
        except TestFailed as error:
            print(f"boot-test: FAILED: {error}", file=sys.stderr)
            return 1
    report("all good")
    return 0


def try_out(image: pathlib.Path, work: pathlib.Path) -> None:
    """Boot by BIOS, use, cut the power, boot the same disk by UEFI."""
    machine.build_networks()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / "key"))
    orchestrator = Orchestrator(work)
    orchestrator.write_config_drive(work, (work / "key.pub").read_text().strip())
    disk = work / "overlay.qcow2"
    backing = ("-b", str(image), "-F", "qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk))
    far = FarSite(GATEWAY_ADDRESS)
    with far.running(work):
        with booted(disk, work, "bios", orchestrator) as guest:
            digest = use_as_router(orchestrator, far, work)
            report(f"emulator {guest.rss_mib()} MiB resident in the end")
        with booted(disk, work, "uefi", orchestrator):
            come_back(orchestrator, digest)


@contextlib.contextmanager
def booted(
    disk: pathlib.Path, work: pathlib.Path, firmware: str, orchestrator: Orchestrator
) -> Iterator[Guest]:
    """Run the machine and yield once it answers the orchestrator."""
    with machine.running(disk, work, firmware) as guest:

        def answer() -> observed.Status | None:
            if guest.process.poll() is not None:
                raise TestFailed(f"QEMU ended with status {guest.process.returncode}")
            return orchestrator.status()

        try:
            status = wait("the first answer of the API", BOOT_TIMEOUT_S, answer)
        except TestFailed as error:
            raise TestFailed(f"{firmware}: {error}; console:\n{tail(guest.console)}") from error
        report(
            f"{firmware}: first answer over mutual TLS after {guest.age_s():.1f} s, "
            f"emulator {guest.rss_mib()} MiB resident, agent {status.agent_version}"
        )
        yield guest


def use_as_router(orchestrator: Orchestrator, far: FarSite, work: pathlib.Path) -> str:
    """Configure the appliance and send traffic through it; return the digest."""
    orchestrator.expect_no_stranger()
    begun = time.monotonic()
    digest = orchestrator.push(document())
    report(f"document applied after {time.monotonic() - begun:.1f} s, digest {digest[:12]}")
    expect("digest in the status", digest_of(orchestrator), digest)

    begun = time.monotonic()
    lease()
    report(f"DHCP: {TENANT_ADDRESS} leased after {time.monotonic() - begun:.1f} s")
    expect("source that the outside sees", source_seen_outside(), GATEWAY_ADDRESS)
    report(f"routed and translated: the outside saw {GATEWAY_ADDRESS}")

    expect_closed()
    report("closed towards tenant and external network: ssh, API")
    speak_bgp(orchestrator, work)
    be_half_of_a_pair(orchestrator, work)
    digest = tunnel(orchestrator, far, work)
    look_inside(work)
    orchestrator.renew()
    report("certificate renewed, and served with")
    survive_agent_restart(orchestrator, work, digest)
    return digest


def come_back(orchestrator: Orchestrator, digest: str) -> None:
    """See that after a power cut the router routes by itself, before any push."""
    expect("digest after a power cut", digest_of(orchestrator), digest)
    expect("source that the outside sees", source_seen_outside(), GATEWAY_ADDRESS)
    for name, target in (("IPsec", BY_IPSEC), ("WireGuard", BY_WIREGUARD)):
        wait(f"{name} after a power cut", 120, functools.partial(reached, target))
    report("after a power cut it routes again, by itself, also into the tunnels")


def tunnel(orchestrator: Orchestrator, far: FarSite, work: pathlib.Path) -> str:
    """Add an IPsec connection and a WireGuard tunnel, both by the image's kernel; return the
    digest.
    """
    begun = time.monotonic()
    digest = orchestrator.push(document() | {"functions": far.functions()})
    for name, target in (("IPsec", BY_IPSEC), ("WireGuard", BY_WIREGUARD)):
        try:
            wait(f"a packet by {name}", 60, functools.partial(reached, target))
        except TestFailed as error:
            raise TestFailed(f"{error}; {tunnels_told(orchestrator, far, work)}") from error
        spent = time.monotonic() - begun
        report(f"{name}: a packet through the tunnel {spent:.1f} s after the push began")
    kinds = ssh(work, "ip -d link show wg0; ip -d link show ipsec0; sudo ip xfrm state count")
    for kernel_does in ("wireguard", "xfrm if_id"):
        if kernel_does not in kinds:
            raise TestFailed(f"not by the kernel ({kernel_does}): {kinds}")
    return digest


def speak_bgp(orchestrator: Orchestrator, work: pathlib.Path) -> None:
    """Have the image's BIRD announce a floating IP to a neighbour and learn a route of it."""
    begun = time.monotonic()
    with neighbour.running(GATEWAY_ADDRESS, work) as control:
        floating = [{"floating_ip": FLOATING_ADDRESS, "fixed_ip": TENANT_ADDRESS}]
        orchestrator.push(document() | neighbour.section() | {"floating_ips": floating})
        told = functools.partial(neighbour.has_learned, control, f"{FLOATING_ADDRESS}/32")
        wait("a route by BGP", 90, told)

        def learned() -> bool | None:
            routes = ssh(work, "ip route show proto bird")
            return True if neighbour.ANNOUNCED in routes else None

        wait("a route of the neighbour", 60, learned)
    report(f"BGP: routes both ways {time.monotonic() - begun:.1f} s after the push began")


def be_half_of_a_pair(orchestrator: Orchestrator, work: pathlib.Path) -> None:
    """Have the image's keepalived and conntrackd serve as one of two whose other one is away."""
    begun = time.monotonic()
    pair = {"peers": [ABSENT_PEER], "priority": 100}
    orchestrator.push(document() | {"ha_resource": True, "ha_config": pair})

    def leads() -> bool | None:
        status = orchestrator.status()
        return True if status and status.role == "master" else None

    wait("the role of master", 90, leads)
    expect("source that the outside sees", source_seen_outside(), GATEWAY_ADDRESS)
    ssh(work, "pgrep keepalived && pgrep conntrackd")
    report(f"pair: master alone {time.monotonic() - begun:.1f} s after the push began")


def tunnels_told(orchestrator: Orchestrator, far: FarSite, work: pathlib.Path) -> str:
    """Return how both ends see the tunnels."""
    status = orchestrator.status()
    words = ("sudo ip -s xfrm state", "ip -s link show ipsec0", "sudo nft list chain inet astara")
    inside = ssh(work, "; ".join((*words[:2], f"{words[2]} leak_guard", "sudo wg show")))
    return f"{status and status.functions}\n{inside}\n{far.told()}"


def reached(target: str) -> bool | None:
    """Say whether the tenant's ping is answered."""
    argv = ["ip", "netns", "exec", "tenant", "ping", "-n", "-c", "1", "-W", "2", target]
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    return True if done.returncode == 0 else None


def digest_of(orchestrator: Orchestrator) -> str | None:
    """Return the digest that the appliance reports."""
    return wait("an answer of the appliance", 60, orchestrator.status).digest


def document() -> dict[str, Any]:
    """Return the desired configuration of a router with one tenant network."""
    return {
        "schema_version": 1,
        "router_id": ROUTER,
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


def survive_agent_restart(orchestrator: Orchestrator, work: pathlib.Path, digest: str) -> None:
    """Restart the agent: dnsmasq stays, and so do configuration and certificate."""
    before = ssh(work, "pgrep -o dnsmasq")
    started = wait("an answer of the appliance", 60, orchestrator.status).agent_started_at
    ssh(work, "sudo systemctl restart astara-appliance")

    def again() -> observed.Status | None:
        status = orchestrator.status()
        return status if status and status.agent_started_at != started else None

    status = wait("the agent's second life", 60, again)
    expect("digest after a restart of the agent", status.digest, digest)
    expect("dnsmasq after a restart of the agent", ssh(work, "pgrep -o dnsmasq"), before)
    report("the agent restarted, its daemons lived on")


def ssh(work: pathlib.Path, command: str) -> str:
    """Run a shell command in the appliance as its operator."""
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    options += ("-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30")
    where = ("-i", str(work / "key"), f"astara@{MANAGEMENT}")
    return run("ssh", *options, *where, command, timeout_s=90)


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
