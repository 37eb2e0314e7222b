"""Databases and their schemas: what has to exist before an API can answer.

Each step leaves a marker that names the versions it was made for; a warm start skips steps whose
marker still fits. Called by ``lifecycle``.
"""

import base64
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
from collections.abc import Callable

import pymysql

from astara_devcloud import commands, layout, markers, settings, tasks

DATABASES = ("keystone", "neutron", "placement", "nova_api", "nova", "nova_cell0", "glance")
SYNC_TIMEOUT_S = 600.0
FERNET_KEY_BYTES = 32


def steps(cloud: settings.Settings, report: Callable[[str], None]) -> list[tasks.Task]:
    """Return the schema steps, each after the step or service that it needs."""
    makers: dict[str, tuple[Callable[[settings.Settings], None], str]] = {
        "keystone schema": (_keystone, "keystone"),
        "neutron schema": (_neutron, "neutron"),
        "placement schema": (_placement, "openstack-placement"),
        "nova schema": (_nova, "nova"),
        "glance schema": (_glance, "glance"),
    }

    def make(name: str) -> None:
        maker, package = makers[name]
        if markers.once(cloud.layout, name, versions(package), lambda: maker(cloud)):
            report(f"{name} is made")

    made = [
        tasks.Task(name, functools.partial(make, name), needs=("databases",)) for name in makers
    ]
    return [
        tasks.Task("mariadb data", lambda: _mariadb_data(cloud.layout)),
        tasks.Task("databases", lambda: _databases(cloud), needs=("mariadb",)),
        *made,
    ]


def versions(package: str) -> str:
    """Return what a schema depends on: the package's version, and for Neutron also branches."""
    parts = [f"{package} {importlib.metadata.version(package)}"]
    if package == "neutron":
        points = importlib.metadata.entry_points(group="neutron.db.alembic_migrations")
        parts += [f"{point.name} {_branch_heads(point.value)}" for point in sorted(points)]
    return "\n".join(parts) + "\n"


def _branch_heads(module: str) -> str:
    """Digest the HEAD files of an alembic branch, without importing the plug-in.

    Importing parts of Neutron would set up its threading in our process.
    """
    package, *rest = module.replace(":", ".").split(".")
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec is not None else None
    folder = pathlib.Path((roots or ["."])[0], *rest, "versions")
    paths = [folder / name for name in ("EXPAND_HEAD", "CONTRACT_HEAD")]
    texts = [path.read_text() for path in paths if path.exists()]
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


def _mariadb_data(where: layout.Layout) -> None:
    data = where.state / "mysql"
    if (data / "mysql").is_dir():
        return
    data.mkdir(exist_ok=True)
    commands.run_logged(
        [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={data}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ],
        where.log_of("mariadb-data"),
        timeout_s=SYNC_TIMEOUT_S,
    )


def _databases(cloud: settings.Settings) -> None:
    connection = pymysql.connect(unix_socket=str(cloud.layout.database_socket), user="root")
    with connection, connection.cursor() as cursor:
        for name in DATABASES:
            cursor.execute(f"create database if not exists {name}")


def _sync(cloud: settings.Settings, log: str, *argv: str | pathlib.Path) -> None:
    program, *arguments = [str(word) for word in argv]
    commands.run_logged(
        [str(cloud.bin / program), *arguments],
        cloud.layout.log_of(f"sync-{log}"),
        timeout_s=SYNC_TIMEOUT_S,
    )


def _keystone(cloud: settings.Settings) -> None:
    for repository in ("fernet", "credential"):
        create_fernet_keys(cloud.layout.state / repository)
    conf = cloud.layout.etc / "keystone.conf"
    _sync(cloud, "keystone", "keystone-manage", "--config-file", conf, "db_sync")
    endpoints = [f"--bootstrap-{which}-url" for which in ("internal", "public", "admin")]
    commands.run_logged(
        [
            *(str(cloud.bin / "keystone-manage"), "--config-file", str(conf), "bootstrap"),
            *("--bootstrap-region-id", settings.REGION),
            *(word for option in endpoints for word in (option, f"{cloud.keystone_url}/v3")),
        ],
        cloud.layout.log_of("sync-keystone"),
        environment={"OS_BOOTSTRAP_PASSWORD": cloud.credentials.admin},
        timeout_s=SYNC_TIMEOUT_S,
    )


def create_fernet_keys(repository: pathlib.Path) -> None:
    """Fill a key repository as ``keystone-manage fernet_setup`` does: 0 staged, 1 primary."""
    repository.mkdir(mode=0o700, exist_ok=True)
    for name in ("0", "1"):
        path = repository / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(base64.urlsafe_b64encode(os.urandom(FERNET_KEY_BYTES)))


def _neutron(cloud: settings.Settings) -> None:
    conf = cloud.layout.etc / "neutron.conf"
    _sync(cloud, "neutron", "neutron-db-manage", "--config-file", conf, "upgrade", "heads")


def _placement(cloud: settings.Settings) -> None:
    conf = cloud.layout.etc / "placement.conf"
    _sync(cloud, "placement", "placement-manage", "--config-file", conf, "db", "sync")


def _glance(cloud: settings.Settings) -> None:
    conf = cloud.layout.etc / "glance-api.conf"
    _sync(cloud, "glance", "glance-manage", "--config-file", conf, "db_sync")


def _nova(cloud: settings.Settings) -> None:
    conf = cloud.layout.etc / "nova.conf"
    module = ("-P", "-m", "astara_devcloud.nova_schema")
    _sync(cloud, "nova", "python", *module, conf, cloud.database_url("nova_cell0"))
