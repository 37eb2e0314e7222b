"""The orchestrator's side of the test of the image: its own code, on a database of its own.

Decides nothing about certificates or requests: user data, authority, client and checks are the
orchestrator's. Called by boot_test.
"""

import pathlib
import socket
import ssl
import subprocess
from typing import Any

from machine import MACS, MANAGEMENT, TestFailed, run, wait
from sqlalchemy.engine import make_url

from astara.clients import errors
from astara.clients.appliance import Appliances
from astara.instance import userdata
from astara.pki import trust
from astara.store import certificates, database, schema
from astara_contract import document as contract
from astara_contract import status as observed

ROUTER = "11111111-2222-3333-4444-555555555555"
PORT = 5000
PUSH_TIMEOUT_S = 300.0
DAY_S = 86400


class Orchestrator:
    """Gives an appliance its user data, and speaks to it by mutual TLS."""

    def __init__(self, work: pathlib.Path) -> None:
        base = database.open_database(make_url(f"sqlite:///{work}/astara.db"), 30)
        schema.upgrade(base)
        settings = trust.Settings("secret of the test", 7 * DAY_S, 90 * DAY_S, 3650 * DAY_S)
        self._trust = trust.Trust(certificates.Certificates(base), settings)
        self._appliances = Appliances(PORT, 30, 120, self._trust)

    def write_config_drive(self, work: pathlib.Path, ssh_public_key: str) -> None:
        """Write the config drive as Nova would from our user data."""
        boot = userdata.FirstBoot(
            router_id=ROUTER,
            mac_address=MACS["mgt"],
            addresses=(f"{MANAGEMENT}/64",),
            mtu=1400,
            api_port=PORT,
            ssh_public_key=ssh_public_key,
            tls=self._trust.first(ROUTER),
        )
        latest = work / "drive/openstack/latest"
        latest.mkdir(parents=True)
        (latest / "user_data").write_text(userdata.render(boot))
        (latest / "meta_data.json").write_text('{"uuid": "test"}\n')
        run(
            *("xorriso", "-as", "mkisofs", "-quiet", "-V", "config-2", "-J", "-r"),
            *("-o", str(work / "drive.iso"), str(work / "drive")),
        )

    def status(self) -> observed.Status | None:
        """Probe the appliance; None while it does not answer."""
        try:
            return self._appliances.status(MANAGEMENT, ROUTER)
        except errors.Unavailable:
            return None

    def push(self, desired: dict[str, Any]) -> str:
        """Push a document, again while the appliance is busy; return the digest in effect.

        Where emulation is slow, its own first look at everything may last longer than it lets a
        push wait.
        """

        def pushed() -> str | None:
            try:
                text = contract.encode(contract.parse(desired))
                answer = self._appliances.configure(MANAGEMENT, text, 1, ROUTER)
            except (errors.Busy, errors.Unavailable):
                return None
            except errors.ServiceError as error:
                raise TestFailed(f"push: {error}") from error
            return str(answer.digest)

        return wait("the push", PUSH_TIMEOUT_S, pushed)

    def renew(self) -> None:
        """Give the appliance its next certificate, and see that it serves with it."""
        before = self._shown()
        self._appliances.renew(MANAGEMENT, self._trust.next(ROUTER), ROUTER)
        if self._shown() == before:
            raise TestFailed("a renewed certificate is not served")

    def expect_no_stranger(self) -> None:
        """See that who shows no certificate of ours gets no answer, in plaintext or by TLS."""
        url = f"http://[{MANAGEMENT}]:{PORT}/v1/status"
        argv = ["curl", "-s", "-k", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]
        for scheme in (url, url.replace("http:", "https:")):
            done = subprocess.run(
                [*argv, scheme], capture_output=True, text=True, timeout=60, check=False
            )
            if done.stdout not in ("000", "400"):
                raise TestFailed(f"{scheme} answered {done.stdout} to a stranger")

    def _shown(self) -> Any:
        way = next(self._trust.ways(ROUTER))
        if way.context is None:
            raise TestFailed("the orchestrator would speak plaintext")
        with (
            socket.create_connection((MANAGEMENT, PORT), timeout=30) as raw,
            way.context.wrap_socket(raw, server_hostname=way.name) as secured,
        ):
            if secured.version() != "TLSv1.3":
                raise ssl.SSLError(f"{secured.version()} instead of TLS 1.3")
            return secured.getpeercert()
