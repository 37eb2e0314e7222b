"""Members of a group as real coordinator processes, and what they tell their workers."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import zookeeper_server
from waiting import wait_until

from astara import events, inbox, scheduler
from astara.cmd import child


class Member:
    """One coordinator and the socket of a worker that listens to it."""

    def __init__(self, root, host, url, **options):
        self.host, self.root = host, root / host
        self.news: list[events.Membership] = []
        state = self.root / "state"
        values = {"enabled": True, "url": url, "member_timeout": 2, "heartbeat_interval": 0.2}
        values |= options
        self.root.mkdir()
        self.config = self.root / "orchestrator.ini"
        lines = ["[DEFAULT]", f"host = {host}", f"state_path = {state}"]
        lines += ["num_worker_processes = 1", "[coordination]"]
        self.config.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in values.items())]))
        self.inbox = inbox.Inbox(
            scheduler.socket_path(str(state), scheduler.worker_name(0)), self.news.append
        )
        self.inbox.start()
        self.process = None
        self._wanted = False
        self._lifeline = None

    def start(self):
        argv = [sys.executable, "-m", "astara.cmd.child", "coordinator", "0"]
        # As under a supervisor: it ends when nobody holds the other end, even if we are killed.
        if self._lifeline is None:
            self._lifeline = os.pipe()
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--config-file", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, child.LIFELINE: str(self._lifeline[0])},
                pass_fds=self._lifeline[:1],
            )
        self._wanted = True
        return self

    def _tended(self):
        """Start it again if it has given up by itself, which is what a supervisor is for."""
        if self._wanted and self.process.poll() is not None:
            self.start()
        return self

    def close(self):
        self.end(signal.SIGKILL)
        self.inbox.close()
        for end in self._lifeline or ():
            os.close(end)

    def log(self):
        return (self.root / "log").read_text(errors="replace")

    @property
    def hosts(self):
        """Whom it takes for live now; nobody while its lease is over."""
        return set(self.news[-1].hosts) if self.news and self.certain else set()

    @property
    def certain(self):
        return bool(self.news) and self.news[-1].lease_until > time.monotonic()

    def sees(self, *hosts):
        wait_until(
            lambda: self._tended().hosts == set(hosts), f"{self.host} sees {hosts}: {self.log()}"
        )

    def end(self, number=signal.SIGTERM):
        self._wanted = False
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(timeout=30)


@pytest.fixture
def member(tmp_path):
    made = []

    def make(host, url, **options):
        made.append(Member(tmp_path, host, url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def zookeeper():
    with zookeeper_server.zookeeper() as server:
        yield server
