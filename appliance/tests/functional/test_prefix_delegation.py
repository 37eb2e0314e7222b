"""IPv6 prefixes from a provider's DHCPv6 server: asked for, told, kept over a restart."""

import time

import pytest

pytestmark = pytest.mark.functional

FIRST, SECOND = "11111111-aaaa", "22222222-bbbb"
SERVER = """
default-lease-time 600; preferred-lifetime 300;
option dhcp-renewal-time 5; option dhcp-rebinding-time 10;
subnet6 2001:db8:cafe::/64 {{ prefix6 {first} {last} /64; }}
"""


class Provider:
    """ISC's DHCPv6 server on a machine of the external network."""

    def __init__(self, machine, folder):
        self.machine, self.folder = machine, folder
        self._process = None

    def start(self, first="2001:db8:f000::", last="2001:db8:f0ff::"):
        (self.folder / "dhcpd.conf").write_text(SERVER.format(first=first, last=last))
        (self.folder / "leases").touch()
        # Its link-local address has to be settled, else it says nothing and ends.
        self._process = self.machine.popen(
            "dhcpd", "-6", "-q", "-f", "--no-pid", "-cf", str(self.folder / "dhcpd.conf"),
            "-lf", str(self.folder / "leases"), "eth0", stdout=-3, stderr=-3,
        )  # fmt: skip

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    shared_appliance_host.ext = shared_appliance_host.plug("ext")
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture(scope="module")
def provider(host, tmp_path_factory, eventually):
    machine = host.segments["ext"].add_host("isp", ["2001:db8:cafe::1/64"])
    eventually(
        lambda: "tentative" not in machine.run("ip", "addr", "show", "dev", "eth0"), 10, "no DAD"
    )
    folder = tmp_path_factory.mktemp("isp")
    folder.chmod(0o755)
    made = Provider(machine, folder)
    made.start()
    yield made
    made.stop()


def document(host, *subnets):
    external = host.network(
        "external", host.ext, ["2001:db8:cafe::9/64", "fe80::9:9/64"], ["2001:db8:cafe::/64"]
    )
    functions = {"prefix-delegation": {"subnets": list(subnets)}} if subnets else {}
    return host.document([external], functions=functions)


def told(host):
    return host.get("/v1/status")["functions"].get("prefix-delegation", {}).get("prefixes", {})


def test_a_prefix_is_delegated_told_and_kept(host, provider, eventually):
    host.push(document(host, FIRST))
    eventually(lambda: FIRST in told(host), 30, "a prefix")
    first = told(host)[FIRST]
    assert first.startswith("2001:db8:f0")
    assert first.endswith("/64")
    addresses = host.addresses(host.ext.device)

    host.restart_agent()
    host.push(document(host, FIRST))
    assert told(host) == {FIRST: first}
    # The client configures nothing: addresses and routes are the document's.
    assert host.addresses(host.ext.device) == addresses
    assert "2001:db8:f0" not in host.execute("ip", "-6", "route")


def test_a_second_subnet_gets_another_one_and_the_first_keeps_its_own(host, provider, eventually):
    host.push(document(host, FIRST))
    eventually(lambda: FIRST in told(host), 30, "a prefix")
    first = told(host)[FIRST]
    host.push(document(host, FIRST, SECOND))
    eventually(lambda: len(set(told(host).values())) == 2, 60, "two prefixes")
    assert told(host)[FIRST] == first


def test_a_lost_client_comes_back_with_the_same_prefix(host, provider, eventually):
    wanted = document(host, FIRST)
    host.push(wanted)
    eventually(lambda: FIRST in told(host), 30, "a prefix")
    before = told(host)
    pid = (host.root / "run/astara/prefix-delegation.pid").read_text().split()[0]
    host.execute("kill", "-9", pid)
    host.push(wanted)
    deadline = time.monotonic() + 30
    while told(host) != before:
        assert time.monotonic() < deadline


def test_without_subnets_nothing_is_left(host, provider):
    host.push(document(host, FIRST))
    host.push(document(host))
    assert told(host) == {}
    assert not [line for line in host.daemons() if "dhcpcd" in line]
    assert not (host.root / "run/astara/dhcpcd.conf").exists()
