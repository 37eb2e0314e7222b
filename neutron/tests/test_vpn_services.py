"""Objects of neutron-vpnaas are in a router's details, move its generation and take statuses."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


class Site:
    """A router with a gateway and a network, and a VPN service on it."""

    def __init__(self, neutron: Any, external: Any) -> None:
        self.neutron, self.tenant = neutron, neutron.tenant
        self.net = neutron.network(name="protected")
        gateway = {"network_id": external["id"]}
        self.router = self.tenant.create("router", name="r", external_gateway_info=gateway)["id"]
        neutron.attach(self.router, self.net["subnet"]["id"])
        suite = {"auth_algorithm": "sha256", "encryption_algorithm": "aes-256", "pfs": "group14"}
        self.ike = self.make("ikepolicies", "ikepolicy", ike_version="v2", **suite)
        self.ipsec = self.make("ipsecpolicies", "ipsecpolicy", **suite)
        self.service = self.make(
            "vpnservices", "vpnservice", router_id=self.router, admin_state_up=True
        )

    def make(self, collection: str, kind: str, **attributes: Any) -> Any:
        answer = self.tenant.call("POST", f"/vpn/{collection}", {kind: attributes})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    def group(self, kind: str, *endpoints: str) -> str:
        made = self.make("endpoint-groups", "endpoint_group", type=kind, endpoints=endpoints)
        return str(made["id"])

    def connect(self, **attributes: Any) -> Any:
        wanted = {
            "vpnservice_id": self.service["id"],
            "ikepolicy_id": self.ike["id"],
            "ipsecpolicy_id": self.ipsec["id"],
            "peer_address": "203.0.113.200",
            "peer_id": "site-b.example",
            "psk": "very secret",
            "local_ep_group_id": self.group("subnet", self.net["subnet"]["id"]),
            "peer_ep_group_id": self.group("cidr", "10.9.0.0/24", "10.8.0.0/24"),
        } | attributes
        return self.make("ipsec-site-connections", "ipsec_site_connection", **wanted)

    def view(self) -> Any:
        return self.neutron.service.view(self.router)

    def shown(self, collection: str, kind: str, item: str) -> Any:
        return self.tenant.call("GET", f"/vpn/{collection}/{item}").json()[kind]


@pytest.fixture
def site(neutron: Any, external: Any) -> Site:
    return Site(neutron, external)


def test_a_connection_is_in_the_details_with_all_that_belongs_to_it(site: Site) -> None:
    before = site.neutron.service.generation(site.router)
    made = site.connect()
    [shown] = site.view()["ipsec_site_connections"]
    assert site.neutron.service.generation(site.router) != before
    assert shown["id"] == made["id"]
    assert shown["psk"] == "very secret"
    assert shown["local_cidrs"] == [site.net["subnet"]["cidr"]]
    assert sorted(shown["peer_cidrs"]) == ["10.8.0.0/24", "10.9.0.0/24"]
    assert shown["ikepolicy"]["ike_version"] == "v2"
    assert shown["ipsecpolicy"]["transform_protocol"] == "esp"
    assert shown["ikepolicy"]["pfs"] == "group14"
    assert site.shown("vpnservices", "vpnservice", site.service["id"])["external_v4_ip"]


def test_the_pre_shared_key_is_not_for_tenants(site: Site) -> None:
    site.connect()
    assert site.tenant.call("GET", f"/astara-routers/{site.router}").status_code in (403, 404)


def test_changes_are_announced_as_those_of_the_router(site: Site) -> None:
    site.neutron.announced()
    made = site.connect()
    changes = (
        {"psk": "another"},
        {"peer_ep_group_id": site.group("cidr", "10.77.0.0/24")},
        {"dpd": {"action": "restart", "interval": 7, "timeout": 30}},
        {"admin_state_up": False},
    )
    for change in changes:
        # Neutron lets nobody change what is being created.
        site.neutron.service.report(site.router, ipsec_site_connections={made["id"]: "DOWN"})
        before = site.neutron.service.generation(site.router)
        answer = site.tenant.call(
            "PUT", f"/vpn/ipsec-site-connections/{made['id']}", {"ipsec_site_connection": change}
        )
        assert answer.status_code == 200, answer.text
        assert site.neutron.service.generation(site.router) != before
    told = [kind for kind, _ in site.neutron.announced() if kind == "router.update.end"]
    assert len(told) == 1 + len(changes)
    [shown] = site.view()["ipsec_site_connections"]
    assert not shown["admin_state_up"]
    assert (shown["peer_cidrs"], shown["dpd_interval"]) == (["10.77.0.0/24"], 7)


@pytest.mark.parametrize(("path", "kind", "which"), [
    ("ikepolicies", "ikepolicy", "ike"), ("ipsecpolicies", "ipsecpolicy", "ipsec"),
])  # fmt: skip
def test_a_policy_in_use_does_not_change_under_a_connection(
    site: Site, path: str, kind: str, which: str
) -> None:
    site.connect()
    policy = getattr(site, which)["id"]
    answer = site.tenant.call("PUT", f"/vpn/{path}/{policy}", {kind: {"pfs": "group2"}})
    assert answer.status_code == 409


def test_reported_statuses_are_shown_and_make_no_work(site: Site) -> None:
    made = site.connect()
    before = site.neutron.service.generation(site.router)
    for status, service in (("ACTIVE", "ACTIVE"), ("ERROR", "DOWN"), ("DOWN", "DOWN")):
        site.neutron.service.report(site.router, ipsec_site_connections={made["id"]: status})
        shown = site.shown("ipsec-site-connections", "ipsec_site_connection", made["id"])
        assert shown["status"] == status
        assert site.shown("vpnservices", "vpnservice", site.service["id"])["status"] == service
    assert site.neutron.service.generation(site.router) == before


def test_a_service_is_as_its_connections_also_without_any(site: Site) -> None:
    def status() -> str:
        return str(site.shown("vpnservices", "vpnservice", site.service["id"])["status"])

    assert (site.service["status"], status()) == ("DOWN", "DOWN")
    made = site.connect()
    site.neutron.service.report(site.router, ipsec_site_connections={made["id"]: "ACTIVE"})
    assert status() == "ACTIVE"
    deleted = site.tenant.call("DELETE", f"/vpn/ipsec-site-connections/{made['id']}")
    assert (deleted.status_code, status()) == (204, "DOWN")


def test_a_report_touches_no_connection_of_another_router(
    site: Site, neutron: Any, external: Any
) -> None:
    other = Site(neutron, external)
    made = other.connect()
    site.neutron.service.report(site.router, ipsec_site_connections={made["id"]: "ACTIVE"})
    shown = other.shown("ipsec-site-connections", "ipsec_site_connection", made["id"])
    assert shown["status"] == "PENDING_CREATE"


def test_deleting_is_possible_without_an_agent(site: Site) -> None:
    made = site.connect()
    for path in (
        f"/vpn/ipsec-site-connections/{made['id']}",
        f"/vpn/vpnservices/{site.service['id']}",
    ):
        assert site.tenant.call("DELETE", path).status_code == 204
    assert site.view()["ipsec_site_connections"] == []
