"""The process that serves: its readiness, its end, and the alarm for when it hangs."""

import http.client
import os
import signal
import socket
import subprocess
import sys

SERVES = """
import socket, sys
from astara_appliance.api import server

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server.serve([listener], lambda: application)
"""

HANGS = """
import threading
from astara_appliance.api import server
server.put_off_alarm(1)
threading.Event().wait(60)
"""


def test_server_tells_when_it_is_ready_answers_and_ends_at_sigterm(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(
            [sys.executable, "-c", SERVES], stdout=subprocess.PIPE, env=environment
        ) as process:
            try:
                port = int(process.stdout.readline())
                assert systemd.recv(100) == b"READY=1"
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"ok"
                connection.close()
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            finally:
                process.kill()


def test_process_that_gives_no_sign_of_life_is_ended():
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=30, check=False)
    assert done.returncode == -signal.SIGALRM
