"""Objects of neutron-dynamic-routing are in a router's details and move its generation."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


class Site:
    """A router with a gateway on an external network of its own, and a speaker there."""

    def __init__(self, neutron: Any) -> None:
        self.neutron, self.admin = neutron, neutron.admin
        self.external = neutron.external()
        gateway = {"network_id": self.external["id"]}
        self.router = neutron.tenant.create("router", name="r", external_gateway_info=gateway)[
            "id"
        ]
        self.speaker = self.make("bgp_speaker", name="s", ip_version=4, local_as=64601)["id"]

    def make(self, kind: str, **attributes: Any) -> Any:
        answer = self.admin.call("POST", f"/{kind.replace('_', '-')}s", {kind: attributes})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    def peer(self, **attributes: Any) -> Any:
        wanted = {"name": "p", "peer_ip": "203.0.113.1", "remote_as": 64602, "auth_type": "none"}
        return self.make("bgp_peer", **wanted | attributes)

    def act(self, action: str, **body: Any) -> Any:
        return self.admin.call("PUT", f"/bgp-speakers/{self.speaker}/{action}", body)

    def bind(self) -> None:
        answer = self.act("add_gateway_network", network_id=self.external["id"])
        assert answer.status_code == 200, answer.text

    def join(self, **attributes: Any) -> Any:
        peer = self.peer(**attributes)
        answer = self.act("add_bgp_peer", bgp_peer_id=peer["id"])
        assert answer.status_code == 200, answer.text
        return peer

    def speakers(self) -> Any:
        return self.neutron.service.view(self.router)["bgp_speakers"]

    def generation(self) -> Any:
        return self.neutron.service.generation(self.router)


@pytest.fixture
def site(neutron: Any) -> Site:
    return Site(neutron)


def test_a_speaker_is_of_the_routers_whose_gateway_is_on_its_network(
    site: Site, neutron: Any
) -> None:
    other = Site(neutron)
    before = site.generation(), other.generation()
    peer = site.join(auth_type="md5", password="very-secret")
    assert site.speakers() == []
    site.bind()
    [shown] = site.speakers()
    assert (shown["id"], shown["local_as"], shown["ip_version"]) == (site.speaker, 64601, 4)
    assert shown["advertise_floating_ip_host_routes"]
    assert shown["advertise_tenant_networks"]
    assert shown["peers"] == [
        {
            "id": peer["id"],
            "peer_ip": "203.0.113.1",
            "remote_as": 64602,
            "auth_type": "md5",
            "password": "very-secret",
        }
    ]
    assert other.speakers() == []
    assert (site.generation() != before[0], other.generation() != before[1]) == (True, False)


def test_every_change_is_announced_as_one_of_the_network(site: Site) -> None:
    site.neutron.announced()
    site.bind()
    peer = site.join(auth_type="md5", password="one")
    speaker = f"/bgp-speakers/{site.speaker}"
    for method, path, body, status in (
        ("PUT", f"/bgp-peers/{peer['id']}", {"bgp_peer": {"password": "two"}}, 200),
        ("PUT", speaker, {"bgp_speaker": {"advertise_tenant_networks": False}}, 200),
        ("PUT", f"{speaker}/remove_bgp_peer", {"bgp_peer_id": peer["id"]}, 200),
        ("PUT", f"{speaker}/add_bgp_peer", {"bgp_peer_id": peer["id"]}, 200),
        ("DELETE", f"/bgp-peers/{peer['id']}", None, 204),
        ("PUT", f"{speaker}/remove_gateway_network", {"network_id": site.external["id"]}, 200),
        ("PUT", f"{speaker}/add_gateway_network", {"network_id": site.external["id"]}, 200),
        ("DELETE", speaker, None, 204),
    ):
        before = site.generation()
        answer = site.admin.call(method, path, body)
        assert answer.status_code == status, answer.text
        assert site.generation() != before
    told = [body["network"]["id"] for kind, body in site.neutron.announced()
            if kind == "network.update.end"]  # fmt: skip
    assert told == [site.external["id"]] * 10
    assert site.speakers() == []


def test_what_no_appliance_can_do_is_refused_in_words(site: Site) -> None:
    over_ipv6 = site.peer(peer_ip="2001:db8::1")
    refused = site.act("add_bgp_peer", bgp_peer_id=over_ipv6["id"])
    assert refused.status_code == 400
    assert "IPv4, not 2001:db8::1" in refused.text
    odd = {"peer_ip": "203.0.113.1", "remote_as": 1, "auth_type": "md5", "password": 'a"; evil'}
    answer = site.admin.call("POST", "/bgp-peers", {"bgp_peer": odd})
    assert answer.status_code == 400
    assert "quote and backslash" in answer.text


def test_no_agent_is_asked_for(site: Site) -> None:
    site.bind()
    site.join()
    aliases = {item["alias"] for item in site.admin.get("/extensions")["extensions"]}
    assert {"bgp", "bgp_4byte_asn"} <= aliases
    assert "bgp_dragent_scheduler" not in aliases


def test_neutron_lists_what_is_announced(site: Site) -> None:
    site.bind()
    net = site.neutron.network(name="inside")
    site.neutron.attach(site.router, net["subnet"]["id"])
    port = site.neutron.tenant.create("port", network_id=net["id"])
    floating = site.neutron.tenant.create(
        "floatingip", floating_network_id=site.external["id"], port_id=port["id"]
    )
    path = f"/bgp-speakers/{site.speaker}/get_advertised_routes"
    [route] = site.admin.get(path)["advertised_routes"]
    assert route["destination"] == f"{floating['floating_ip_address']}/32"


def test_speakers_are_not_for_tenants(site: Site) -> None:
    assert site.neutron.tenant.call("GET", "/bgp-speakers").json() == {"bgp_speakers": []}
    assert site.neutron.tenant.call("GET", f"/bgp-speakers/{site.speaker}").status_code == 404
