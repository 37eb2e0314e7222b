"""Options of [keystone_authtoken]: the credentials with which we ask the other services.

They are keystoneauth's own; only processes that talk to other services register them.
"""

from oslo_config import cfg

GROUP = "keystone_authtoken"


def register(conf: cfg.ConfigOpts) -> None:
    """Register keystoneauth's session and password options; harmless when done twice."""
    from keystoneauth1 import loading  # heavy: the supervisor has no need of it

    for opt in (
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
    ):
        try:
            conf.register_opt(opt, group=GROUP)
        except cfg.DuplicateOptError:
            pass  # keystonemiddleware, where it is imported, has the same with another help text


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """List keystoneauth's options for oslo-config-generator."""
    from keystoneauth1 import loading

    opts = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
    ]
    return [(GROUP, opts)]
