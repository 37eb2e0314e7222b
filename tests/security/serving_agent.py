"""The agent's server with a small application behind it; prints its port. argv: run directory.

GET /v1/status answers a status, GET /slow after the line on stdin, PUT /v1/system/tls renews.
"""

import pathlib
import socket
import sys

import msgspec

from astara_appliance import clock
from astara_appliance.api import server
from astara_appliance.system import tls
from astara_contract import status as observed
from astara_contract import tls as contract

RUN_DIR = pathlib.Path(sys.argv[1])
AHEAD_S = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
TRUE_WALL = clock.wall
clock.wall = lambda: TRUE_WALL() + AHEAD_S
KEEPER = tls.Gatekeeper(RUN_DIR, tls.load(RUN_DIR))
STATUS = observed.Status(
    v4=True,
    v6=True,
    agent_version="1",
    schema_versions=(1,),
    digest=None,
    epoch=0,
    applied_at=None,
    pushes_applied=0,
    pushes_unchanged=0,
    booted_at="",
    agent_started_at="",
    interfaces=(),
)


def application(environ, start_response):
    body = msgspec.json.encode(STATUS)
    if environ["PATH_INFO"] == "/slow":
        sys.stdin.readline()
    elif environ["REQUEST_METHOD"] == "PUT":
        sent = environ["wsgi.input"].read()
        body = msgspec.json.encode(KEEPER.replace(msgspec.json.decode(sent, type=contract.Bundle)))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server.serve([listener], lambda: application, KEEPER)
