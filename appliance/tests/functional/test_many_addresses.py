"""Thousands of addresses, by netlink messages that we write ourselves."""

import errno
import ipaddress

import pytest

from astara_appliance.system import addresses, netlink

pytestmark = pytest.mark.functional

MANY = [f"{ipaddress.IPv4Address('203.0.113.0') + number}/32" for number in range(700)]


@pytest.fixture
def nic(appliance_host):
    """A NIC of an appliance, and a way to call a function in its network namespace."""
    device = appliance_host.plug("blue").device
    inside = type(appliance_host.orchestrator)(appliance_host.netns, "").inside

    def link():
        with netlink.opened() as kernel:
            return next(item for item in kernel.links() if item.device == device)

    return inside(link), inside


def test_many_addresses_come_are_listed_and_go(nic):
    link, inside = nic
    wanted = {*MANY, "10.0.0.1/24", "2001:db8::1/64", "10.0.1.1/31"}
    assert inside(lambda: addresses.add(link.index, dict.fromkeys(wanted, False))) is None
    assert inside(lambda: addresses.add(link.index, {MANY[0]: False})) is None
    assert inside(addresses.dump)[link.index] == wanted
    assert inside(lambda: addresses.remove(link.index, [*MANY, MANY[0]])) is None
    assert inside(addresses.dump)[link.index] == wanted - set(MANY)


def test_a_refused_address_is_named_and_the_others_are_there(nic):
    link, inside = nic
    wanted = dict.fromkeys([MANY[0], "ff02::1/128", MANY[1]], False)
    refused = inside(lambda: addresses.add(link.index, wanted))
    assert (refused.address, refused.code) == ("ff02::1/128", errno.EADDRNOTAVAIL)
    assert inside(addresses.dump)[link.index] == {MANY[0], MANY[1]}


def test_routes_of_the_main_table_alone_are_listed(appliance_host, nic):
    link, inside = nic
    inside(lambda: addresses.add(link.index, dict.fromkeys(MANY, False)))
    appliance_host.execute("ip", "link", "set", link.device, "up")
    appliance_host.execute("ip", "route", "add", "198.51.100.0/24", "dev", link.device)

    def listed():
        with netlink.opened() as kernel:
            return [
                item.route.destination for item in kernel.routes() if "." in item.route.destination
            ]

    assert inside(listed) == ["198.51.100.0/24"]


def test_book_follows_what_others_change(appliance_host, nic):
    link, inside = nic
    book = addresses.Book()

    def known():
        v4, v6 = inside(book.read)
        return v4.get(link.index, frozenset()), v6.get(link.index, frozenset())

    assert known()[0] == set()
    for verb, text in (("add", "192.0.2.1/24"), ("add", "192.0.2.2/24"), ("del", "192.0.2.2/24")):
        appliance_host.execute("ip", "address", verb, text, "dev", link.device)
    appliance_host.execute("ip", "address", "add", "2001:db8::1/64", "dev", link.device, "nodad")
    assert known() == ({"192.0.2.1/24"}, {"2001:db8::1/64"})
    # More than its socket holds: it lists anew.
    inside(lambda: addresses.add(link.index, dict.fromkeys(MANY, False)))
    assert known()[0] == {"192.0.2.1/24", *MANY}
    inside(lambda: addresses.remove(link.index, MANY[1:]))
    assert known()[0] == {"192.0.2.1/24", MANY[0]}
    appliance_host.execute("ip", "link", "del", link.device)
    assert known() == (set(), set())
