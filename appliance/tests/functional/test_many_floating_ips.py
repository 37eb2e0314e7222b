"""Floating IPs by hundreds: the firewall's way around nft's text, against the real kernel."""

import pytest

from astara_appliance.drivers import base, firewall
from astara_appliance.drivers.firewall import bulk, nft
from astara_appliance.system import paths, process
from astara_contract import document as contract

pytestmark = pytest.mark.functional

FACTS = base.Facts(
    {
        mac: base.Nic(mac, device, name)
        for mac, device, name in (
            ("fa:16:3e:00:00:01", "eth1", "ge1"),
            ("fa:16:3e:00:00:02", "eth2", "ge2"),
        )
    }
)


def wanted(numbers):
    """A router with the floating IPs of these numbers, each of a machine of its own."""
    networks = (
        ("internal", "fa:16:3e:00:00:01", "10.0.0.1/16", "10.0.0.0/16"),
        ("external", "fa:16:3e:00:00:02", "203.0.113.2/24", "203.0.113.0/24"),
    )
    return contract.Document(
        networks=tuple(
            contract.Network(
                network_id=kind,
                network_type=kind,
                interface=contract.Interface(lladdr=mac, addresses=(address,)),
                subnets=(contract.Subnet(cidr=cidr),),
            )
            for kind, mac, address, cidr in networks
        ),
        floating_ips=tuple(
            contract.FloatingIP(
                floating_ip=f"198.51.{number // 200}.{number % 200 + 1}",
                fixed_ip=f"10.0.{number // 200}.{number % 200 + 9}",
            )
            for number in numbers
        ),
    )


@pytest.fixture
def router(appliance_host, tmp_path):
    """The firewall's verbs in a namespace; `push` goes through all of them."""
    inside = type(appliance_host.orchestrator)(appliance_host.netns, "").inside
    where = paths.Paths.under(tmp_path)

    class Router:
        def __init__(self):
            self.inside = inside
            self.restart()

        def restart(self):
            self.driver = inside(lambda: firewall.FirewallDriver(where))

        def push(self, numbers):
            return inside(lambda: self._push(self.driver.render(wanted(numbers), FACTS)))

        def _push(self, desired):
            self.driver.check(desired)
            change = self.driver.diff(self.driver.observe(), desired)
            self.driver.apply(change)
            self.driver.verify(desired)
            return change

        def listed(self, name):
            shown = ["nft", "-s", "list", "set", "inet", "astara", name]
            return inside(lambda: process.run(shown).stdout).count("198.51.")

    return Router()


def test_hundreds_come_and_go_in_a_transaction_of_their_own(router):
    assert router.push(range(600)).many
    assert [router.listed(name) for name in ("public4", "floating_in")] == [600, 600]
    change = router.push(range(400, 1000))
    assert change.many
    assert not change.commands
    assert router.listed("floating_out") == 600
    router.restart()  # what is in the kernel is listed by nft and compared with what is wanted
    assert not router.push(range(400, 1000))


def test_a_few_go_by_nft_in_one_transaction(router):
    router.push(range(600))
    change = router.push(range(601))
    assert change.commands.count("add element") == 5
    assert not change.many


def test_foreign_change_of_the_rules_is_put_right_with_all_floating_ips(router):
    router.push(range(600))
    router.inside(lambda: process.run(["nft", "flush", "chain", "inet", "astara", "forward"]))
    assert router.push(range(600)).replaces
    assert router.listed("floating_in") == 600


def test_refused_elements_leave_all_as_it_was(router):
    router.push(range(600))
    conflict = bulk.Step(
        "floating_to_fixed",
        frozenset({"198.51.0.1 : 10.0.0.9"}),
        frozenset({"192.0.2.1 : 10.9.9.9", "198.51.0.2 : 10.9.9.9"}),
    )
    with pytest.raises(nft.Refused, match="File exists"):
        router.inside(lambda: bulk.run([conflict]))
    assert not router.push(range(600))
