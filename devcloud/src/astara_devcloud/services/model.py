"""What a service declaration is, and what follows from one."""

import dataclasses
import hashlib
import pathlib
import signal
from collections.abc import Callable, Mapping

from astara_devcloud import commands, processes, readiness, settings

Files = Mapping[pathlib.Path, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One long-running program. ``files`` is called at each start and must be cheap."""

    name: str
    argv: tuple[str, ...]
    ready: readiness.Check
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Callable[[], Files] = dict
    ports: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15.0
    ready_timeout_s: float = 180.0


def environment(cloud: settings.Settings, service: Service) -> dict[str, str]:
    """Return a service's whole environment: nothing of the caller's leaks into it."""
    return {
        "PATH": f"{cloud.bin}:{commands.SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "PYTHONUNBUFFERED": "1",
        "OVS_RUNDIR": str(cloud.layout.openvswitch),
        # setproctitle would overwrite the environment block by which processes are recognised.
        "SPT_NOENV": "1",
        processes.OWNER_VARIABLE: str(cloud.layout.root),
        processes.SERVICE_VARIABLE: service.name,
        **service.env,
    }


def fingerprint(cloud: settings.Settings, service: Service) -> str:
    """Digest everything a running process was started with, to notice an outdated one."""
    parts = [*service.argv, *(f"{k}={v}" for k, v in sorted(environment(cloud, service).items()))]
    for path, text in sorted(service.files().items()):
        parts += [str(path), text]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
