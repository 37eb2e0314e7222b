"""The HTTP APIs, each a WSGI module in a uWSGI of its own."""

from collections.abc import Callable, Mapping

from astara_devcloud import readiness, settings
from astara_devcloud.config import glance, keystone, neutron, nova, placement, wsgi
from astara_devcloud.services import model


def _api(
    cloud: settings.Settings,
    name: str,
    application: wsgi.Application,
    *,
    env: Mapping[str, str],
    files: Callable[[], model.Files],
    needs: tuple[str, ...],
) -> model.Service:
    ini = cloud.layout.etc / f"uwsgi-{name}.ini"
    return model.Service(
        name=name,
        argv=(str(cloud.bin / "uwsgi"), "--ini", str(ini)),
        env=env,
        files=lambda: {ini: wsgi.uwsgi_ini(cloud, application), **files()},
        ports=(application.port,),
        needs=needs,
        ready=readiness.http(f"http://127.0.0.1:{application.port}/"),
        stop_grace_s=5.0,
    )


def apis(cloud: settings.Settings) -> tuple[model.Service, ...]:
    """Declare the APIs."""
    etc = cloud.layout.etc
    ports = cloud.ports
    nova_env = {"OS_NOVA_CONFIG_DIR": str(etc)}
    return (
        _api(
            cloud,
            "keystone",
            wsgi.Application("keystone.wsgi.api", ports.keystone, threads=4),
            env={"OS_KEYSTONE_CONFIG_FILES": str(etc / "keystone.conf")},
            files=lambda: {etc / "keystone.conf": keystone.keystone_conf(cloud)},
            needs=("keystone schema",),
        ),
        _api(
            cloud,
            "placement",
            wsgi.Application("placement.wsgi.api", ports.placement, threads=4),
            env={"OS_PLACEMENT_CONFIG_DIR": str(etc)},
            files=lambda: {etc / "placement.conf": placement.placement_conf(cloud)},
            needs=("placement schema",),
        ),
        _api(
            cloud,
            "glance",
            wsgi.Application("glance.wsgi.api", ports.glance, threads=4),
            env={"OS_GLANCE_CONFIG_DIR": str(etc)},
            files=lambda: {etc / "glance-api.conf": glance.glance_conf(cloud)},
            needs=("glance schema",),
        ),
        _api(
            cloud,
            "neutron-api",
            wsgi.Application("neutron.wsgi.api", ports.neutron, threads=10),
            env={
                "OS_NEUTRON_CONFIG_DIR": str(etc),
                "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
            },
            files=lambda: {etc / "neutron.conf": neutron.neutron_conf(cloud)},
            needs=("neutron schema", "rabbitmq"),
        ),
        _api(
            cloud,
            "nova-api",
            wsgi.Application("nova.wsgi.osapi_compute", ports.nova, threads=8),
            env=nova_env,
            files=lambda: nova_files(cloud),
            needs=("nova schema", "rabbitmq"),
        ),
        _api(
            cloud,
            "nova-metadata",
            wsgi.Application("nova.wsgi.metadata", ports.nova_metadata, threads=6),
            env=nova_env,
            files=lambda: nova_files(cloud),
            needs=("nova schema", "rabbitmq"),
        ),
    )


def nova_files(cloud: settings.Settings) -> model.Files:
    """Return the files of every Nova service but nova-compute."""
    paste = (cloud.prefix / "etc" / "nova" / "api-paste.ini").read_text()
    etc = cloud.layout.etc
    return {etc / "nova.conf": nova.nova_conf(cloud), etc / "api-paste.ini": paste}
