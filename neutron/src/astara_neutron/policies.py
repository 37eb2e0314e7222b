"""Who may call the API of this package: service users and administrators, nobody else.

Neutron registers these defaults through the entry point `neutron.policies`; through
`oslo.policy.policies` the policy tools see them. An operator may override each in policy.yaml.
"""

from neutron_lib.policy import rules
from oslo_policy import policy

GET_ROUTER = "get_astara_router"
UPDATE_STATUS = "update_routerstatus"

_RULES = (
    policy.DocumentedRuleDefault(
        name=GET_ROUTER,
        check_str=rules.ADMIN_OR_SERVICE,
        scope_types=["project"],
        description="Read all that a router's appliance needs, or list routers with generations",
        operations=[
            {"method": "GET", "path": "/astara-routers"},
            {"method": "GET", "path": "/astara-routers/{id}"},
        ],
    ),
    policy.DocumentedRuleDefault(
        name=UPDATE_STATUS,
        check_str=rules.ADMIN_OR_SERVICE,
        scope_types=["project"],
        description="Report the status of a router, its ports and floating IPs",
        operations=[{"method": "PUT", "path": "/dhrouterstatus/{router_id}"}],
    ),
)


def list_rules() -> tuple[policy.RuleDefault, ...]:
    """Return the policy defaults; called by the entry points."""
    return _RULES
