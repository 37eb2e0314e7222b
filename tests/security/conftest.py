"""A database of authorities, and appliances that serve with their bundles."""

import pathlib
import subprocess
import sys
import tempfile

import pytest
from sqlalchemy.engine import make_url

from astara.store import certificates, database, schema
from astara_appliance.system import tls as appliance_tls


@pytest.fixture
def stored(tmp_path):
    base = database.open_database(make_url(f"sqlite:///{tmp_path}/astara.db"), 30)
    schema.upgrade(base)
    yield certificates.Certificates(base)
    base.close()


@pytest.fixture
def serve(tmp_path):
    """Start an appliance with a bundle; give its port and process."""
    running = []

    def start(bundle, ahead_s=0.0):
        directory = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
        if bundle is not None:
            appliance_tls.save(directory, bundle)
        program = pathlib.Path(__file__).with_name("serving_agent.py")
        process = subprocess.Popen(
            [sys.executable, str(program), str(directory), str(ahead_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(directory / "log", "wb"),  # noqa: SIM115 - lives as long as the process
            text=True,
        )
        running.append(process)
        return int(process.stdout.readline()), directory, process

    yield start
    for process in running:
        process.kill()
        process.communicate()
