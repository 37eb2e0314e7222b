"""The guests an image may name, and what a guest sees of the host.

Called by the hypervisor's `lifecycle` when a server starts.
"""

import importlib.util
import pathlib
import sys
from collections.abc import Iterable

HERE = pathlib.Path(__file__).parent
SCRIPTS = {
    "appliance": HERE / "appliance.sh",
    "tenant": HERE / "tenant.sh",
    "idle": HERE / "idle.sh",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(uuid: str) -> dict[str, str]:
    """Return the whole environment of a guest's PID 1.

    `container` and `container_uuid` are systemd's container interface; they also mark a guest's
    processes for `enter`.
    """
    return {
        "PATH": f"{_PATH}:{pathlib.Path(sys.executable).parent}",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "container": "astara-devcloud",
        "container_uuid": uuid,
        "GUEST_FILES": str(HERE),
        "GUEST_PYTHON": sys.executable,
    }


def host_paths() -> list[str]:
    """Return the host directories a guest sees: programs, this Python and the appliance's code."""
    sources = filter(None, map(_source, ("astara_appliance", "astara_contract")))
    return cover(["/usr", sys.prefix, sys.base_prefix, str(HERE), *sources])


def _source(package: str) -> str | None:
    # Only looked up, never imported: installed from a checkout, a package is outside the
    # environment.
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    return str(pathlib.Path(places[0]).parent) if places else None


def cover(paths: Iterable[str]) -> list[str]:
    """Return the paths that hold all the others, sorted; the root is never one of them."""
    kept: list[pathlib.PurePath] = []
    for path in sorted({pathlib.PurePath(p) for p in paths if pathlib.PurePath(p).is_absolute()}):
        if path != pathlib.PurePath("/") and not any(
            path.is_relative_to(parent) for parent in kept
        ):
            kept.append(path)
    return [str(path) for path in kept]
