"""neutron.conf and the Open vSwitch agent's configuration."""

from astara_devcloud import settings
from astara_devcloud.config import ini

# The underlay carries jumbo frames, so that tenants may ask for any MTU up to 8950.
UNDERLAY_MTU = 9000
PUBLIC_MTU = 1500
SERVICE_PLUGINS = (
    "astara_router",
    # Brings the ip_allocation extension, without which Nova refuses the address-less ports that
    # appliances are plugged with.
    "segments",
    "astara_port_forwarding",
    "astara_conntrack_helper",
    "astara_metering",
    "astara_qos",
    "vpnaas",
    "astara_bgp",
)
PRIVSEP_SECTIONS = (
    "privsep",
    "privsep_dhcp_release",
    "privsep_ovs_vsctl",
    "privsep_namespace",
    "privsep_conntrack",
    "privsep_link",
)


def neutron_conf(cloud: settings.Settings) -> str:
    """Render neutron.conf for the API, the RPC server and the periodic workers."""
    nova = ini.password_auth(cloud, "nova", cloud.credentials.nova)
    return ini.render(
        {
            "DEFAULT": {
                "core_plugin": "ml2",
                "service_plugins": ",".join(SERVICE_PLUGINS),
                "auth_strategy": "keystone",
                "transport_url": cloud.services_broker_url,
                "api_paste_config": str(cloud.prefix / "etc" / "neutron" / "api-paste.ini"),
                "state_path": str(cloud.layout.state / "neutron"),
                "host": settings.HOST,
                "notify_nova_on_port_status_changes": True,
                "notify_nova_on_port_data_changes": True,
                "send_events_interval": 1,
                "dhcp_agent_notification": False,
                "dns_domain": settings.DNS_DOMAIN,
                # Subnets whose prefix the provider delegates; Neutron wants the second word too.
                "ipv6_pd_enabled": True,
                "global_physnet_mtu": UNDERLAY_MTU,
                "rpc_workers": 1,
                "rpc_state_report_workers": 0,
                "use_stderr": True,
            },
            "experimental": {"ipv6_pd_enabled": True},
            "database": ini.database(cloud, "neutron"),
            "keystone_authtoken": ini.token_validation(
                cloud, "neutron", cloud.credentials.neutron
            ),
            "nova": nova,
            "placement": ini.password_auth(cloud, "neutron", cloud.credentials.neutron),
            "oslo_concurrency": {"lock_path": str(cloud.layout.locks)},
            "oslo_messaging_notifications": ini.notifications(),
            "ml2": {
                "type_drivers": "flat,vlan,vxlan,local",
                "project_network_types": "vxlan",
                "mechanism_drivers": "openvswitch",
                "extension_drivers": "port_security,dns,qos",
                "physical_network_mtus": f"{settings.PHYSICAL_NETWORK}:{PUBLIC_MTU}",
            },
            "ml2_type_flat": {"flat_networks": settings.PHYSICAL_NETWORK},
            "ml2_type_vxlan": {"vni_ranges": "1:65535"},
            "securitygroup": {"enable_security_group": True, "firewall_driver": "openvswitch"},
            "service_providers": {
                "service_provider": "VPN:astara:astara_neutron.vpn_driver.VpnDriver:default"
            },
            "quotas": {
                f"quota_{resource}": -1
                for resource in (
                    "network",
                    "subnet",
                    "port",
                    "router",
                    "floatingip",
                    "security_group",
                    "security_group_rule",
                )
            },
        }
    )


def agent_conf(cloud: settings.Settings) -> str:
    """Render the Open vSwitch agent's file, which is also read by its privsep helpers."""
    own_path = cloud.layout.etc / "openvswitch-agent.conf"
    helper = f"{cloud.bin / 'privsep-helper'} --config-file {own_path}"
    document: dict[str, ini.Section] = {
        "DEFAULT": {
            "host": settings.HOST,
            "transport_url": cloud.services_broker_url,
            "state_path": str(cloud.layout.state / "neutron"),
            "use_stderr": True,
        },
        "ovs": {
            "ovsdb_connection": f"tcp:127.0.0.1:{cloud.ports.ovsdb}",
            "datapath_type": "netdev",
            "integration_bridge": settings.INTEGRATION_BRIDGE,
            "bridge_mappings": f"{settings.PHYSICAL_NETWORK}:{settings.EXTERNAL_BRIDGE}",
            "local_ip": "127.0.0.1",
            "of_listen_port": cloud.ports.openflow,
        },
        "agent": {"tunnel_types": "vxlan", "root_helper": "", "polling_interval": 1},
        "securitygroup": {"enable_security_group": True, "firewall_driver": "openvswitch"},
        "oslo_concurrency": {"lock_path": str(cloud.layout.locks)},
    }
    # Each privsep context has a section of its own; by default they would call sudo.
    document.update({name: {"helper_command": helper} for name in PRIVSEP_SECTIONS})
    return ini.render(document)
