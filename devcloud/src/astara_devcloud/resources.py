"""Identifiers of what the bootstrap created in the cloud, remembered between commands."""

import dataclasses
import json
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """What the orchestrator's configuration and the tests need to name."""

    public_network_id: str
    management_network_id: str
    management_subnet_id: str
    appliance_image_id: str
    tenant_image_id: str
    appliance_flavor_id: str
    tenant_flavor_id: str


def load(path: pathlib.Path) -> Resources:
    """Read the identifiers; FileNotFoundError before the first complete start."""
    return Resources(**json.loads(path.read_text()))


def store(path: pathlib.Path, known: Resources) -> None:
    """Write the identifiers, atomically."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(known), indent=1) + "\n")
    draft.replace(path)
