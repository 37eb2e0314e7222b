"""MariaDB and PostgreSQL in directories of their own, reachable by Unix socket alone."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

START_TIMEOUT_S = 60


class Server:
    """One running server; `url` names an empty database in it."""

    def __init__(self, url, argv, directory, probe):
        self.url = url
        self._argv = argv
        self._directory = directory
        self._probe = probe
        self.start()

    def start(self):
        log = (self._directory / "log").open("ab")
        self.process = subprocess.Popen(
            self._argv, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while subprocess.run(self._probe, capture_output=True, timeout=20).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._directory / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def kill(self):
        """Kill the server and the processes it made, which PostgreSQL's would outlive a while."""
        if self.process.poll() is not None:
            return
        children = _children(self.process.pid)
        self.process.kill()
        self.process.wait(timeout=20)
        deadline = time.monotonic() + START_TIMEOUT_S
        while children and time.monotonic() < deadline:
            children = [pid for pid in children if _kill(pid)]
            time.sleep(0.01)

    @contextlib.contextmanager
    def frozen(self):
        """Stop the server's processes, so that the kernel alone answers."""
        everyone = [self.process.pid, *_children(self.process.pid)]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in everyone:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def _kill(pid):
    """Kill a process; tell whether it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in listed]


@contextlib.contextmanager
def _directory(owner=None):
    path = pathlib.Path(tempfile.mkdtemp(prefix="astara-db-"))
    if owner is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def mariadb():
    with _directory() as path:
        data, socket = path / "data", path / "socket"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"]
        install += ["--skip-test-db", "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True, timeout=120)
        argv = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}"]
        argv += ["--skip-networking", "--user=root", f"--pid-file={path / 'pid'}"]
        argv += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2"]
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "-e"]
        server = Server(
            f"mysql+pymysql://root@/astara?unix_socket={socket}",
            argv,
            path,
            [*client, "CREATE DATABASE IF NOT EXISTS astara"],
        )
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def postgresql():
    owner = pwd.getpwnam("postgres")  # the server refuses to run as root
    binaries = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    become = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    with _directory(owner) as path:
        data = path / "data"
        install = [*become, binaries / "initdb", "-D", data, "-U", "astara", "-A", "trust", "-N"]
        subprocess.run(install, check=True, capture_output=True, timeout=120, cwd=path)
        argv = [*become, binaries / "postgres", "-D", data, "-k", path]
        argv += ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        query = [binaries / "psql", "-h", path, "-U", "astara", "-c", "SELECT 1", "postgres"]
        server = Server(f"postgresql://astara@/postgres?host={path}", argv, path, query)
        try:
            yield server
        finally:
            server.kill()
