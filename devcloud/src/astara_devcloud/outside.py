"""The internet: a network namespace behind the external bridge.

It is the gateway of the external network, owns an address further away with a web server, and
answers DNS for ``outside.example.``. It has no route to tenants' private addresses, so that a
packet that left without NAT gets no answer.
"""

import pathlib

from astara_devcloud import commands, layout, openvswitch, settings

NAMESPACE = "astara-outside"
ENTER = ("ip", "netns", "exec", NAMESPACE)
BRIDGE_END = "astara-ext"
NAMESPACE_END = "ext0"
NETWORK_V4 = "203.0.113.0/24"
NETWORK_V6 = "2001:db8:cafe::/64"
GATEWAY_V4 = "203.0.113.1"
GATEWAY_V6 = "2001:db8:cafe::1"
SERVER_V4 = "198.51.100.10"
SERVER_V6 = "2001:db8:beef::10"
DOMAIN = "outside.example"
NAMESPACES = pathlib.Path("/run/netns")


def create(where: layout.Layout) -> None:
    """Make the namespace and its cable to the external bridge; nothing if it is there."""
    if not (NAMESPACES / NAMESPACE).exists():
        commands.run(["ip", "netns", "add", NAMESPACE])
    if not (openvswitch.NET / BRIDGE_END).exists():
        _cable()
    openvswitch.vsctl(where, "--may-exist", "add-port", settings.EXTERNAL_BRIDGE, BRIDGE_END)


def _cable() -> None:
    peer = ["peer", "name", NAMESPACE_END, "netns", NAMESPACE]
    commands.run(["ip", "link", "add", BRIDGE_END, "type", "veth", *peer])
    # Packets cross the userspace datapath as they are: a checksum left to hardware that does not
    # exist would never be filled in.
    commands.run(["ethtool", "-K", BRIDGE_END, "tx", "off"])
    commands.run([*ENTER, "ethtool", "-K", NAMESPACE_END, "tx", "off"])
    commands.run(["ip", "-n", NAMESPACE, "-batch", "-"], text=namespace_batch())
    commands.run(["ip", "link", "set", BRIDGE_END, "up"])


def namespace_batch() -> str:
    """Return the ``ip -batch`` lines that set up the namespace's devices and addresses."""
    return "\n".join(
        (
            "link set lo up",
            f"addr replace {SERVER_V4}/32 dev lo",
            f"addr replace {SERVER_V6}/128 dev lo nodad",
            f"addr replace {GATEWAY_V4}/24 dev {NAMESPACE_END}",
            f"addr replace {GATEWAY_V6}/64 dev {NAMESPACE_END} nodad",
            f"link set {NAMESPACE_END} up",
            "",
        )
    )


def remove() -> None:
    """Remove the namespace; its cable goes with it."""
    if (NAMESPACES / NAMESPACE).exists():
        commands.run(["ip", "netns", "delete", NAMESPACE])


def run(*argv: str, timeout_s: float = commands.DEADLINE_S) -> str:
    """Run a program as a host on the internet and return its output."""
    return commands.run([*ENTER, *argv], timeout_s=timeout_s)


def dns_argv() -> tuple[str, ...]:
    """Return the DNS server's command line."""
    return (
        "dnsmasq",
        "--keep-in-foreground",
        "--user=root",
        "--conf-file=/dev/null",
        "--pid-file",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        f"--interface={NAMESPACE_END}",
        "--interface=lo",
        "--log-facility=-",
        "--log-queries",
        f"--local=/{DOMAIN}/",
        f"--host-record=www.{DOMAIN},{SERVER_V4},{SERVER_V6}",
        f"--host-record=gateway.{DOMAIN},{GATEWAY_V4},{GATEWAY_V6}",
    )
