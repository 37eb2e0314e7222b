"""Routes as messages: what is written is what is read."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.system import routes

NAMES = {1: "lo", 2: "eth1", 3: "eth2", 70000: "ens5.20"}


SPACES = {4: ("0.0.0.0/0", 32), 6: ("2000::/3", 128)}


@st.composite
def any_route(draw):
    space, longest = SPACES[draw(st.sampled_from((4, 6)))]
    address = st.ip_addresses(network=space).map(str)
    pair = st.tuples(address, st.integers(0, longest))
    destination = draw(pair.map(lambda item: ipaddress.ip_network(item, strict=False)))
    device = st.sampled_from(sorted(NAMES.values()))
    hop = st.builds(routes.Nexthop, address, device, st.booleans())
    hops = draw(st.lists(hop, min_size=1, max_size=3, unique=True))
    source = draw(st.none() | address)
    return routes.Route(str(destination), tuple(sorted(hops)), source)


@given(any_route(), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_what_is_written_is_what_is_read(route, protocol, metric):
    indexes = {name: index for index, name in NAMES.items()}
    message = routes.write(route, protocol, metric, indexes)
    assert routes.read(message, NAMES) == routes.InstalledRoute(route, protocol, metric, 1)


def test_route_without_gateway_is_on_its_link():
    route = routes.Route("192.0.2.0/24", (routes.Nexthop("", "eth1"),))
    message = routes.write(route, 4, 10, {"eth1": 2})
    assert routes.read(message, NAMES).route == route
    assert message[6] == 253  # RT_SCOPE_LINK
