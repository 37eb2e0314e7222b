"""The other end of an IPsec connection and of a WireGuard tunnel, for the test of the image.

It lives in the namespace `outside` of the machine that runs the test, whose kernel may have
neither: strongSwan's user-space crypto and wireguard-go do it. The image's own kernel must have
both. Knows nothing of how the appliance does its part. Called by boot_test.
"""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
from machine import OUTSIDE_ADDRESS, ip, run, wait

from astara_appliance.drivers.ipsec import config
from astara_appliance.system import vici
from astara_contract import ipsec

TENANTS = "10.20.0.0/24"
BY_IPSEC, BY_WIREGUARD = "10.30.0.1", "10.31.0.1"
_SUITE = {"encryption": "aes-256-gcm-16", "integrity": "sha256", "group": 19}
_TABLE = "31"


class FarSite:
    """Keys of both sides, and the daemons of the other one."""

    def __init__(self, appliance: str) -> None:
        self._appliance = appliance
        self._own, self._theirs = _keys(), _keys()

    def functions(self) -> dict[str, Any]:
        """Return the sections of the appliance's document."""
        peer = {
            "public_key": self._own[1],
            "endpoint": OUTSIDE_ADDRESS,
            "endpoint_port": 51820,
            "allowed_ips": [f"{BY_WIREGUARD}/32"],
        }
        connection = _connection(self._appliance, OUTSIDE_ADDRESS, TENANTS, f"{BY_IPSEC}/32")
        return {
            "ipsec": {"connections": [connection]},
            "wireguard": {"private_key_secret": self._theirs[0], "peers": [peer]},
            # Nobody answers, but its client must run in the image's sandbox.
            "prefix-delegation": {"subnets": ["5a0e3a3e-0000-4000-8000-000000000001"]},
        }

    @contextlib.contextmanager
    def running(self, work: pathlib.Path) -> Iterator[None]:
        """Run the other side."""
        with self._wireguard(work), self._ipsec(work):
            yield

    def told(self) -> str:
        """Return how this end is."""
        return run("ip", "netns", "exec", "outside", "wg", "show", "far0")

    @contextlib.contextmanager
    def _wireguard(self, work: pathlib.Path) -> Iterator[None]:
        text = (
            f"[Interface]\nPrivateKey = {self._own[0]}\nListenPort = 51820\n[Peer]\n"
            f"PublicKey = {self._theirs[1]}\nAllowedIPs = {TENANTS}\n"
        )
        (work / "far.conf").write_text(text)
        # Its socket is found by the device's name, which others on this machine may use as well.
        sockets = pathlib.Path("/run/wireguard")
        sockets.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", str(sockets))
        with _running("wireguard-go", "--foreground", "far0"):
            shown = ("ip", "netns", "exec", "outside", "wg", "show", "far0")
            wait("wireguard-go", 15, lambda: _works(*shown))
            run("ip", "netns", "exec", "outside", "wg", "setconf", "far0", str(work / "far.conf"))
            ip(f"-n outside address replace {BY_WIREGUARD}/32 dev lo")
            ip("-n outside link set far0 up")
            ip(f"-n outside rule add from {BY_WIREGUARD} lookup {_TABLE}")
            ip(f"-n outside route replace {TENANTS} dev far0 table {_TABLE}")
            try:
                yield
            finally:
                ip(f"-n outside rule del from {BY_WIREGUARD} lookup {_TABLE}")

    @contextlib.contextmanager
    def _ipsec(self, work: pathlib.Path) -> Iterator[None]:
        socket, file = work / "far.vici", work / "far-strongswan.conf"
        file.write_text(config.daemon_file(socket, work / "far-ipsec.log", kernel=False))
        plain = _connection(OUTSIDE_ADDRESS, self._appliance, f"{BY_IPSEC}/32", TENANTS)
        connection = msgspec.convert(plain | {"initiate": False}, ipsec.Connection)
        with _running("charon-systemd", STRONGSWAN_CONF=str(file)):
            wait("charon", 15, lambda: socket.exists() or None)
            with vici.Vici(socket) as daemon:
                daemon.ask("load-shared", config.shared_key(connection))
                daemon.ask("load-conn", config.message(connection, kernel=False))
            ip(f"-n outside address replace {BY_IPSEC}/32 dev lo")
            ip(f"-n outside route replace {TENANTS} dev {config.DEVICE} src {BY_IPSEC}")
            yield


def _connection(own: str, other: str, inside: str, beyond: str) -> dict[str, Any]:
    return {
        "id": "far",
        "local_address": own,
        "local_id": own,
        "peer_address": other,
        "peer_id": other,
        "psk_secret": "a key of the test",
        "local_subnets": [inside],
        "peer_subnets": [beyond],
        "ike_version": 2,
        "ike": _SUITE,
        "esp": _SUITE,
    }


def _keys() -> tuple[str, str]:
    private = run("wg", "genkey")
    done = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, timeout=10, check=True
    )
    return private, done.stdout.strip()


@contextlib.contextmanager
def _running(*argv: str, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        ["ip", "netns", "exec", "outside", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _works(*argv: str) -> bool | None:
    done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    return True if done.returncode == 0 else None
