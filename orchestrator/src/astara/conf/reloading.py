"""Read the configuration files again and say what that changed.

Decides nothing: options declared `mutable` take their new value in this process, changes of the
others are named. Called in the api process by the command, in every other child by SIGHUP.
"""

import dataclasses
import logging
import signal

from oslo_config import cfg

from . import PROJECT, own_opts, register

LOG = logging.getLogger(__name__)

SIGNAL = signal.SIGHUP


@dataclasses.dataclass(frozen=True, slots=True)
class Reloaded:
    """One line per option, `[group] name: old -> new`."""

    changed: tuple[str, ...]
    ignored: tuple[str, ...]


def reload(conf: cfg.ConfigOpts) -> Reloaded:
    """Take over mutable options; raises `cfg.Error` or OSError for files that are faulty."""
    fresh = cfg.ConfigOpts()
    register(fresh)
    fresh(args=[], project=PROJECT, default_config_files=list(conf.config_file or ()))
    changed: list[str] = []
    ignored: list[str] = []
    for group, opts in own_opts():
        for opt in opts:
            before, after = _value(conf, group, opt), _value(fresh, group, opt)
            if before != after:
                lines = changed if opt.mutable else ignored
                lines.append(_line(group, opt, before, after))
    conf.mutate_config_files()
    for line in changed:
        LOG.info("configuration.changed option=%s", line)
    for line in ignored:
        LOG.warning("configuration.needs_restart option=%s", line)
    return Reloaded(tuple(changed), tuple(ignored))


def _value(conf: cfg.ConfigOpts, group: str | None, opt: cfg.Opt) -> object:
    return getattr(getattr(conf, group) if group else conf, opt.dest)


def _line(group: str | None, opt: cfg.Opt, before: object, after: object) -> str:
    values = "(hidden)" if opt.secret else f"{before} -> {after}"
    return f"[{group or 'DEFAULT'}] {opt.name}: {values}"
