"""uWSGI configuration: the OpenStack APIs ship WSGI modules, no servers of their own."""

import dataclasses

from astara_devcloud import settings


@dataclasses.dataclass(frozen=True, slots=True)
class Application:
    """A WSGI module and how many requests it answers at once."""

    module: str
    port: int
    threads: int


def uwsgi_ini(cloud: settings.Settings, application: Application) -> str:
    """Render the uWSGI file of one API."""
    return f"""[uwsgi]
http-socket = 127.0.0.1:{application.port}
module = {application.module}:application
virtualenv = {cloud.prefix}
master = true
processes = 1
threads = {application.threads}
enable-threads = true
lazy-apps = true
thunder-lock = true
die-on-term = true
need-app = true
buffer-size = 65535
listen = 128
# Neutron's API takes the time it was started at from here; the option works in a file only.
start-time = %t
# http-socket closes connections without saying so; clients would reuse them and be reset.
add-header = Connection: close
disable-logging = true
hook-master-start = unix_signal:15 gracefully_kill_them_all
"""
