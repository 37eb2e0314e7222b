"""What the provider adds to each router: labels that count traffic with networks of its choice.

The file is the one of earlier releases: ``{"labels": {"ext": ["192.0.2.0/24"]}, "prerules": [],
"postrules": []}``. Only labels have ever meant anything; other rules are refused by a warning, as
is whatever cannot be understood: a misspelt file must not stop the routers. Read once per process,
by `settings`.
"""

import ipaddress
import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec

from astara_contract import types

LOG = logging.getLogger(__name__)

Labels = Mapping[str, tuple[str, ...]]


def read(path: str) -> Labels:
    """Return the labels in the file: the networks of each; none if there is no such file."""
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        LOG.warning("provider_rules.unreadable path=%s reason=%s", path, error)
        return {}
    rules = content if isinstance(content, dict) else {}
    for key in sorted(rules.keys() - {"labels"}):
        if rules[key]:
            LOG.warning("provider_rules.unsupported path=%s key=%s", path, key)
    labels = rules.get("labels")
    found = labels if isinstance(labels, dict) else {}
    return {
        name: cidrs
        for name, given in sorted(found.items())
        if _is_text(name) and (cidrs := _networks(path, name, given))
    }


def _networks(path: str, label: str, given: Any) -> tuple[str, ...]:
    try:
        networks = {ipaddress.ip_network(text, strict=False) for text in given}
    except (TypeError, ValueError) as error:
        LOG.warning("provider_rules.misspelt path=%s label=%s reason=%s", path, label, error)
        return ()
    return tuple(sorted(str(network) for network in networks))


def _is_text(name: str) -> bool:
    try:
        return bool(msgspec.convert(name, types.Text))
    except msgspec.ValidationError:
        return False
