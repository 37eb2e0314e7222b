"""A real Neutron API in one process: ML2, the plug-ins under test, a database in a file.

Run by the tests' conftest as a program, so that Neutron's global state stays out of the test
process. Only what is not under test is left out: Keystone (identity comes in the headers that its
middleware would set), the message bus (notifications are collected), Nova (so are deletions that
it would be told of) and the L2 agents (without any ports stay unbound). Prints
`PORT <n>` when it listens. Additions for tests: the response header `X-Sql-Statements`, and
`GET /_notifications` and `GET /_port_deletions`, which return and forget what was collected.
"""

import json
import logging
import pathlib
import sys
import warnings
from wsgiref import simple_server

warnings.simplefilter("ignore")

import sqlalchemy as sa  # noqa: E402
from neutron import auth  # noqa: E402
from neutron.api import extensions  # noqa: E402
from neutron.common import config as neutron_config  # noqa: E402
from neutron.db.migration.models import head  # noqa: E402
from neutron.pecan_wsgi import app as neutron_app  # noqa: E402
from neutron_dynamic_routing.db.migration.models import head as bgp_head  # noqa: E402
from neutron_lib.callbacks import events, registry, resources  # noqa: E402
from neutron_lib.db import api as db_api  # noqa: E402
from neutron_vpnaas.db.models import head as vpn_head  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging.notify import _impl_test  # noqa: E402

OURS = ("astara_router",)
SERVICES = (
    "vpnaas",
    "astara_bgp",
    "astara_port_forwarding",
    "astara_conntrack_helper",
    "astara_qos",
    "astara_metering",
)
CONFIGURATION = """
[DEFAULT]
core_plugin = ml2
service_plugins = {plugins}
state_path = {state_dir}
transport_url = fake:///
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
enable_traditional_dhcp = false
dns_domain = cloud.example.
ipv6_pd_enabled = true
[database]
sqlite_synchronous = false
connection = sqlite:///{state_dir}/neutron.sqlite
[oslo_concurrency]
lock_path = {state_dir}
[oslo_messaging_notifications]
driver = test
[ml2]
type_drivers = local,flat
project_network_types = local
mechanism_drivers = openvswitch
extension_drivers = port_security,tag_ports_during_bulk_creation,dns,qos
[experimental]
ipv6_pd_enabled = true
[service_providers]
service_provider = VPN:astara:astara_neutron.vpn_driver.VpnDriver:default
[astara]
service_project_id = {service_project_id}
[quotas]
quota_driver = neutron.db.quota.driver_null.DbQuotaDriverNull
"""

statements = 0
port_deletions = []


def count_statement(*_args):
    global statements
    statements += 1


def collect_port_deletion(_resource, _event, _trigger, payload):
    # Neutron's notifier of Nova listens to the same event.
    if payload.action == "delete_port":
        port_deletions.append(payload.latest_state["port"])


def configure(state_dir, router_plugin, service_project_id):
    path = pathlib.Path(state_dir) / "neutron.conf"
    plugins = [router_plugin, "segments", *(SERVICES if router_plugin in OURS else ())]
    text = CONFIGURATION.format(
        state_dir=state_dir, plugins=",".join(plugins), service_project_id=service_project_id
    )
    path.write_text(text)
    neutron_config.register_common_config_options()
    neutron_config.init(["--config-file", str(path)])


def build():
    engine = db_api.get_context_manager().writer.get_engine()
    for models in (head, vpn_head, bgp_head):
        models.get_metadata().create_all(engine)
    sa.event.listen(engine, "before_cursor_execute", count_statement)
    registry.subscribe(collect_port_deletion, resources.PORT, events.BEFORE_RESPONSE)
    api = neutron_app.v2_factory({})
    extended = extensions.plugin_aware_extension_middleware_factory({})(api)
    return auth.NeutronKeystoneContext(extended, cfg.CONF)


def take_notifications():
    seen = [[m["event_type"], m["payload"]] for _, m, _, _ in _impl_test.NOTIFICATIONS]
    _impl_test.NOTIFICATIONS.clear()
    return seen


def take_port_deletions():
    seen = list(port_deletions)
    port_deletions.clear()
    return seen


COLLECTED = {"/_notifications": take_notifications, "/_port_deletions": take_port_deletions}


def instrumented(api):
    def application(environ, start_response):
        take = COLLECTED.get(environ["PATH_INFO"])
        if take:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(take(), default=str).encode()]
        before = statements

        def start(status, headers, exc_info=None):
            return start_response(
                status, [*headers, ("X-Sql-Statements", str(statements - before))], exc_info
            )

        return api(environ, start)

    return application


class QuietHandler(simple_server.WSGIRequestHandler):
    def log_message(self, *_args):
        pass


def main():
    logging.basicConfig(level=logging.WARNING)
    configure(*sys.argv[1:])
    server = simple_server.make_server(
        "127.0.0.1", 0, instrumented(build()), handler_class=QuietHandler
    )
    print(f"PORT {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
