"""Give the log of this process its lines: those of `astara_contract.logline`.

oslo.log decides where they go and from which level on; `use_json` makes each a JSON document.
Hides the values of secret options whoever logs them. Decides nothing else. Called by `conf.load`.
"""

import logging
import os
import threading
import typing
import urllib.parse

from oslo_config import cfg

from astara_contract import logline

from . import metrics

if typing.TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LOG = logging.getLogger(__name__)

SUPERVISOR = "supervisor"
_URLS = frozenset({"transport_url", "connection", "backend_url"})
_PASSWORD = "password"  # noqa: S105 - the name of an option


def dress(conf: cfg.ConfigOpts, secret: "Collection[str]") -> None:
    """Let every handler write our lines; `secret` are names of options that nobody may see."""
    if conf.log_config_append:
        return  # the operator has his own
    formatter = logline.Formatter(
        os.environ.get(metrics.NAME, SUPERVISOR),
        as_json=conf.use_json,
        secrets=set(_values(conf, {*secret, _PASSWORD})),
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    # Nothing of ours shows which line of code or which of multiprocessing's children has spoken.
    logging._srcfile = None  # so says the library's documentation
    logging.logMultiprocessing = logging.logProcesses = False
    threading.excepthook = _crashed


def _crashed(arguments: threading.ExceptHookArgs) -> None:
    trouble = arguments.exc_value
    if trouble is not None:
        name = arguments.thread.name if arguments.thread is not None else "?"
        LOG.critical("thread.crashed name=%s", name, exc_info=trouble)


def _values(conf: cfg.ConfigOpts, secret: "Collection[str]") -> "Iterator[str]":
    """Give what the files hold under those names, and the passwords of all URLs.

    From the files, because options of libraries are not registered yet.
    """
    for name in conf.config_file or ():
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(name, sections).parse()
        for options in sections.values():
            for option, values in options.items():
                if option in secret:
                    yield from values
                elif option in _URLS:
                    yield from _passwords(values)


def _passwords(urls: "list[str]") -> "Iterator[str]":
    for url in urls:
        try:
            found = urllib.parse.urlsplit(url).password
        except ValueError:
            continue  # several brokers in one URL: whoever connects will say what is wrong
        if found:
            yield found
            yield urllib.parse.unquote(found)
