"""The files of a server's config drive, as cloud-init knows them, in a directory.

Its content is Nova's, but for `network_data`. Called by the driver's spawn.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from nova.api.metadata import base as instance_metadata
from nova.network import model
from nova.virt import netutils

from . import network_data


def write(
    directory: pathlib.Path, instance: Any, files: Any, password: str | None, vifs: Sequence[Any]
) -> None:
    """Write the config drive of an instance into a directory."""
    info = model.NetworkInfo(vifs)
    metadata = instance_metadata.InstanceMetadata(
        instance,
        content=files,
        extra_md={"admin_pass": password} if password else {},
        network_info=info,
        network_metadata=network_data.with_all_links(netutils.get_network_metadata(info), vifs),
    )
    for name, data in metadata.metadata_for_config_drive():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
