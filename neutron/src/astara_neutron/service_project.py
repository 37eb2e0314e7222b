"""Which project is ours: the one that the orchestrator's ports lie in.

A mark on a port proves nothing by itself, anyone may write a description. What tenants cannot do
is to put a port into the service project. Asked by `carriers` before it removes anything; without
an answer nothing is ours.
"""

import functools
import logging

from keystoneauth1 import exceptions, loading
from oslo_config import cfg

LOG = logging.getLogger(__name__)

_GROUP = "astara"
_LOOK_UP_DEADLINE_S = 10

cfg.CONF.register_opts(
    [
        cfg.StrOpt(
            "service_project_id",
            help="Id of the project of the orchestrator's user. Not set: the project of the user "
            "in [nova], because a cloud's services usually share one project. Set it if yours do "
            "not.",
        )
    ],
    group=_GROUP,
)


def service_project_id() -> str | None:
    """Return the id of the service project, None (and a warning) if it cannot be found out."""
    configured = cfg.CONF[_GROUP].service_project_id
    if configured:
        return str(configured)
    try:
        return _project_of_nova_user()
    except exceptions.ClientException as error:
        remedy = f"set service_project_id in [{_GROUP}]"
        LOG.warning("service_project.unknown reason=%s remedy=%s", error, remedy)
        return None


@functools.cache  # a failure is no result: it is asked again
def _project_of_nova_user() -> str | None:
    auth = loading.load_auth_from_conf_options(cfg.CONF, "nova")
    session = loading.load_session_from_conf_options(
        cfg.CONF, "nova", auth=auth, timeout=_LOOK_UP_DEADLINE_S
    )
    project_id: str | None = session.get_project_id()
    return project_id
