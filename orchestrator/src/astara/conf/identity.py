"""Options of [keystone_authtoken]: the credentials with which we ask the other services.

They are keystoneauth's own; only processes that talk to other services register them.
"""

from oslo_config import cfg

GROUP = "keystone_authtoken"


def register(conf: cfg.ConfigOpts) -> None:
    """Register keystoneauth's session and password options; harmless when done twice."""
    from keystoneauth1 import loading  # heavy: the supervisor has no need of it

    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)
    conf.register_opts(loading.get_auth_plugin_conf_options("password"), group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """List keystoneauth's options for oslo-config-generator."""
    from keystoneauth1 import loading

    opts = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
    ]
    return [(GROUP, opts)]
