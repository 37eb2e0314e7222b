"""The user data with which an appliance boots; pure.

It is a cloud-config whose body is JSON (JSON is YAML), so that cloud-init as well as the agent's
own small reader understand it. It holds only what is needed until the first push: the management
address, who may log in, and the first certificate with its key. Must never be logged. Called by
``boot``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from astara_contract import tls as contract_tls

BOOT_COMMAND = "/usr/local/bin/astara-configure-management"


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """What an appliance must know before it can be reached."""

    router_id: str
    mac_address: str
    addresses: tuple[str, ...]
    mtu: int | None
    api_port: int
    ssh_public_key: str = ""
    tls: contract_tls.Bundle | None = None
    log_json: bool = False


def render(boot: FirstBoot) -> str:
    """Return the user data; the same input gives the same text."""
    body = json.dumps(_cloud_config(boot), indent=1, sort_keys=True)
    return f"#cloud-config\n{body}\n"


def _cloud_config(boot: FirstBoot) -> Mapping[str, Any]:
    return {
        "output": {"all": "| tee -a /var/log/cloud-init-output.log"},
        "bootcmd": [f"{BOOT_COMMAND} {boot.mac_address} {address}" for address in boot.addresses],
        "users": [_login(boot.ssh_public_key)],
        "astara": {
            "router_id": boot.router_id,
            "api_port": boot.api_port,
            "management": {
                "mac": boot.mac_address,
                "addresses": list(boot.addresses),
                "mtu": boot.mtu,
                "routes": [],
            },
            **({} if boot.tls is None else {"tls": msgspec.to_builtins(boot.tls)}),
            **({"log_json": True} if boot.log_json else {}),
        },
    }


def _login(ssh_public_key: str) -> Mapping[str, Any]:
    return {
        "name": "astara",
        "gecos": "Astara",
        "groups": "users",
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock-passwd": True,
        "ssh-authorized-keys": [ssh_public_key] if ssh_public_key else [],
    }
