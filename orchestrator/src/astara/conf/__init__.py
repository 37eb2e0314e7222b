"""Register every option of the orchestrator on oslo.config's global CONF, one module per concern.

Decides nothing but defaults. Each option says its unit, its default and why. The global object is
used on purpose: oslo.messaging's RPC reads options from it whatever it is handed. Called first
thing by every entry point (`load`) and by oslo-config-generator (`list_opts`).
"""

from collections.abc import Sequence

from oslo_config import cfg

from .. import bus, logs
from . import (
    api,
    audit,
    coordination,
    database,
    identity,
    management,
    metadata,
    metering,
    process,
    router,
    timing,
    tls,
    tracing,
    validation,
)

PROJECT = "astara-orchestrator"
DEFAULT_FILE = "/etc/astara/orchestrator.ini"
_CONCERNS = (
    process,
    timing,
    management,
    metadata,
    api,
    router,
    audit,
    database,
    coordination,
    tls,
    metering,
    tracing,
)

CONF = cfg.CONF


def register(conf: cfg.ConfigOpts) -> None:
    """Register all options of our own; harmless when done twice."""
    for concern in _CONCERNS:
        conf.register_opts(concern.OPTS, group=concern.GROUP)
    conf.register_opts(coordination.DEFAULT_OPTS)


def own_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """List our own groups (None: DEFAULT) and options, those of libraries left out."""
    return [
        *((concern.GROUP, concern.OPTS) for concern in _CONCERNS),
        (None, coordination.DEFAULT_OPTS),
    ]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """List groups and options for oslo-config-generator."""
    groups: dict[str, list[cfg.Opt]] = {}
    for concern in _CONCERNS:
        groups.setdefault(concern.GROUP or "DEFAULT", []).extend(concern.OPTS)
    groups["DEFAULT"].extend(coordination.DEFAULT_OPTS)
    return [*groups.items(), *identity.list_opts()]


def load(argv: Sequence[str], files: Sequence[str] | None = None) -> cfg.ConfigOpts:
    """Parse the command line and the files it names into the global CONF, and start logging.

    Raises `cfg.ConfigFilesNotFoundError` and its relatives; `validation.InvalidConfiguration` is
    for `check`.
    """
    from oslo_log import log  # here, because the generator has no need of it

    register(CONF)
    log.register_options(CONF)
    log.set_defaults(
        default_log_levels=[
            *log.get_default_log_levels(),
            "httpx=WARNING",
            "kazoo=WARNING",
            "httpcore=WARNING",
            "oslo_messaging._drivers=WARNING",
            "oslo_service=WARNING",
            # It logs tracebacks of what it raises; the store says the same in one sentence.
            "oslo_db.sqlalchemy.exc_filters=CRITICAL",
            "alembic.autogenerate=WARNING",
            "alembic.runtime.plugins=WARNING",
        ],
    )
    CONF(
        list(argv),
        project=PROJECT,
        default_config_files=list(files) if files is not None else None,
    )
    log.setup(CONF, PROJECT)
    logs.dress(CONF, {opt.dest for _, opts in own_opts() for opt in opts if opt.secret})
    return CONF


def parse(files: Sequence[str]) -> cfg.ConfigOpts:
    """Parse files into the global CONF for a tool, which logs in its own way; raises as `load`."""
    register(CONF)
    CONF([], project=PROJECT, default_config_files=list(files))
    return CONF


def check(conf: cfg.ConfigOpts) -> None:
    """Raise `validation.InvalidConfiguration`, which names every fault at once."""
    bus.load()
    from oslo_messaging import opts  # heavy, and of no use to the supervisor

    for group, options in opts.list_opts():
        if group is None:
            conf.register_opts(options)
    identity.register(conf)
    validation.check(conf)
