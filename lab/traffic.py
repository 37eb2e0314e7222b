"""What goes through a router while something happens to it: a connection, a row of pings."""

import itertools
import re
import signal
import socket
import subprocess
import time

from .hosts import Host


class Flow:
    """An established TCP connection and what goes through it."""

    def __init__(self, client: Host, server: Host, address: str, port: int) -> None:
        listener = server.inside(lambda: socket.create_server(("", port)))
        with listener:
            self._near = client.inside(lambda: socket.create_connection((address, port), 10))
            self._far, (self.seen_as, _) = listener.accept()
        self._near.settimeout(20)
        self._far.settimeout(20)
        self._count = itertools.count(1)

    def exchange(self) -> float:
        """Send a line both ways; return the seconds. OSError if the connection is dead."""
        line, started = f"{next(self._count)}\n".encode(), time.monotonic()
        for one, other in ((self._near, self._far), (self._far, self._near)):
            one.sendall(line)
            received = b""
            while len(received) < len(line):
                received += other.recv(100) or line  # an end of file is no line
            assert received == line
        return time.monotonic() - started

    def close(self) -> None:
        """End both ends."""
        self._near.close()
        self._far.close()


class Pinger:
    """A ping each 10 ms, and what got lost."""

    def __init__(self, host: Host, target: str) -> None:
        self._process = host.popen(
            "ping", "-n", "-D", "-i", "0.01", "-W", "1", target, stdout=subprocess.PIPE
        )

    def stop(self) -> tuple[int, int]:
        """Return how many were lost between the first and the last answer, and the longest
        silence in milliseconds.
        """
        self._process.send_signal(signal.SIGINT)
        text, _ = self._process.communicate(timeout=10)
        answers = re.findall(r"^\[([0-9.]+)\].* icmp_seq=(\d+) ", text, re.MULTILINE)
        assert answers, text
        numbers = {int(number) for _, number in answers}
        times = [float(at) for at, _ in answers]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return max(numbers) - min(numbers) + 1 - len(numbers), round(1000 * max(gaps))
