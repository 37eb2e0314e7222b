"""Debian's ZooKeeper on a loopback port, in a directory of its own."""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

START_TIMEOUT_S = 180


def free_port():
    """Give a port below those that connections get by themselves.

    One of those could be taken while the server is dead: by any client, even by one that tries to
    reach this very server and so talks to itself.
    """
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class ZooKeeper:
    """One server whose data outlives its process."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"zookeeper://127.0.0.1:{self.port}"
        self._directory = directory
        (directory / "zoo.cfg").write_text(
            f"tickTime=500\nminSessionTimeout=1000\ndataDir={directory / 'data'}\n"
            f"clientPort={self.port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
        )
        self.start()

    def start(self):
        argv = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-cp", "/usr/share/java/*"]
        argv += ["org.apache.zookeeper.server.ZooKeeperServerMain", "zoo.cfg"]
        log = (self._directory / "log").open("ab")
        self.process = subprocess.Popen(argv, cwd=self._directory, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self.process.poll() is None, (self._directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)

    @contextlib.contextmanager
    def frozen(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def zookeeper():
    with tempfile.TemporaryDirectory(prefix="astara-zk-") as name:
        server = ZooKeeper(pathlib.Path(name))
        try:
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.process.pid, signal.SIGCONT)
            server.kill()
