"""One short measurement each: throughput, small packets, new connections, delay.

Every function loads one site for `seconds` and returns numbers; servers run from `start_servers`
on. Knows nothing of variants.
"""

import json
import pathlib
import re
import socket
import time

from . import arena, report, router

_HTTP_PORT, _IPERF_PORT = 8080, 5201
_HAPROXY = """
global
    maxconn 2000
    nbthread 1
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend answer
    bind :{port}
    option httpclose
    http-request return status 200 content-type text/plain string ok
"""


def start_servers(site: arena.Site) -> None:
    """Start what answers on both sides of the router: iperf3 outside, HTTP on both."""
    config = pathlib.Path("/run/bench-haproxy.cfg")
    config.write_text(_HAPROXY.format(port=_HTTP_PORT))
    site.outside.start("iperf3", "-s", "-p", str(_IPERF_PORT))
    for room in (site.outside, site.tenant):
        room.start("haproxy", "-db", "-f", str(config))
    for room, port in (
        (site.outside, _IPERF_PORT),
        (site.outside, _HTTP_PORT),
        (site.tenant, _HTTP_PORT),
    ):
        arena.wait_until(lambda r=room, p=port: f":{p} " in r.run("ss", "-Hltn"), "server")  # type: ignore[misc]


def tcp_gbits(site: arena.Site, seconds: float) -> float:
    """Return Gbit/s of one TCP stream from the tenant to the outside."""
    done = json.loads(_iperf(site, seconds))
    return float(done["end"]["sum_received"]["bits_per_second"]) / 1e9


def udp_kpps(site: arena.Site, seconds: float) -> float:
    """Return thousands of 64 byte datagrams a second that arrive outside, sent as fast as can
    be.
    """
    done = json.loads(_iperf(site, seconds, "-u", "-l", "64", "-b", "0"))
    total = done["end"]["sum"]
    return float(total["packets"] - total["lost_packets"]) / float(total["seconds"]) / 1e3


def snat_connections(site: arena.Site, seconds: float) -> float:
    """Return new TCP connections a second from a machine without floating IP to the outside."""
    return _connections(site.tenant, router.OUTSIDE, seconds)


def floating_connections(site: arena.Site, seconds: float, address: str) -> float:
    """Return new TCP connections a second from the outside to `address`."""
    return _connections(site.outside, address, seconds)


def ping_us(site: arena.Site, seconds: float) -> tuple[float, float]:
    """Return (median, 99th percentile) of the round trip from tenant to outside in us."""
    count = str(int(seconds * 500))
    shown = site.tenant.run("ping", "-n", "-i", "0.002", "-c", count, "-W", "1", router.OUTSIDE)
    times = [float(text) * 1000 for text in re.findall(r"time=([0-9.]+) ms", shown)]
    return report.percentile(times, 0.5), report.percentile(times, 0.99)


def packet_ns(site: arena.Site, seconds: float) -> float:
    """Return nanoseconds for one 64 byte datagram from the tenant to a socket outside, the
    sender's own work included.

    Over veth the whole way is walked in the sender's system call. The best tenth of short bursts
    is taken: other work on the machine only ever adds time.
    """
    sink = site.outside.call(_udp_socket, router.OUTSIDE)  # never read: no reader is woken
    source = site.tenant.call(_udp_socket, router.TENANT)
    try:
        source.connect(sink.getsockname())
        source.send(b"?")
        sink.sendto(b"!", sink.recvfrom(1)[1])  # now the flow counts as established
        source.recv(1)
        source.settimeout(None)  # or each send would cost a poll
        return site.tenant.call(_bursts_ns, source, seconds)
    finally:
        source.close()
        sink.close()


def _udp_socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.settimeout(5)
    opened.bind((address, 0))
    return opened


def _bursts_ns(source: socket.socket, seconds: float, size: int = 200) -> float:
    payload, found = bytes(64), []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        begun = time.perf_counter_ns()
        for _ in range(size):
            source.send(payload)
        found.append((time.perf_counter_ns() - begun) / size)
    return report.percentile(found, 0.1)


def _iperf(site: arena.Site, seconds: float, *options: str) -> str:
    site.router.run("conntrack", "-F")
    where = ["-c", router.OUTSIDE, "-p", str(_IPERF_PORT)]
    return site.tenant.run("iperf3", *where, "-t", f"{seconds:g}", "-J", *options)


def _connections(source: arena.Room, address: str, seconds: float) -> float:
    url = f"http://{address}:{_HTTP_PORT}/"
    load = ["-t", "1", "-c", "64", "-d", f"{max(1, round(seconds))}s"]
    shown = source.run("wrk", *load, "-H", "Connection: close", url)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", shown)
    if found is None or float(found[1]) == 0:
        raise RuntimeError(f"wrk measured nothing: {shown[-400:]}")
    return float(found[1])
