"""The metadata proxy's parts: who is who, what a request may look like, what is written for it."""

import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base
from astara_appliance.drivers.metadata import MetadataDriver
from astara_appliance.metadata_proxy import http1, relay, settings
from astara_appliance.system import paths
from astara_contract import document as contract

VM, OTHER = "fa:16:3e:aa:bb:cc", "fa:16:3e:00:00:77"


def told(**keys):
    raw = {
        "router_id": "router",
        "key": "5a" * 32,
        "port": 9600,
        "upstream": {"address": "fd00::1", "port": 9697},
        "networks": [
            {
                "device": "eth1",
                "instances": [
                    {
                        "instance_id": "one",
                        "tenant_id": "tenant",
                        "mac": VM.upper(),
                        "addresses": ["10.0.0.5", "2001:DB8::5"],
                    }
                ],
            }
        ],
    }
    return settings.parse(json.dumps(raw | keys))


ONE = settings.Instance("one", "tenant")


@pytest.mark.parametrize(
    ("client", "mac", "instance"),
    [
        ("10.0.0.5", VM, ONE),
        ("10.0.0.5", None, ONE),
        ("10.0.0.5", "fa:16:3e:00:00:66", None),
        ("10.0.0.6", VM, None),
        ("2001:db8::5", VM, ONE),
        ("2001:db8:0:0::5", VM, ONE),
        ("2001:db8::5", "fa:16:3e:00:00:66", None),
        ("2001:db8::6", VM, None),
        ("fe80::f816:3eff:feaa:bbcc", VM, ONE),
        ("fe80::f816:3eff:feaa:bbcc", None, ONE),
        ("fe80::f816:3eff:feaa:bbcc", "fa:16:3e:00:00:66", None),
        ("fe80::1234", VM, ONE),
        ("fe80::1234", "fa:16:3e:00:00:66", None),
        ("fe80::1234", None, None),
    ],
)
def test_client_is_who_has_its_address(client, mac, instance):
    assert relay.identify(client, mac, told().networks["eth1"]) == instance


def test_mac_is_read_from_eui64_only():
    assert settings.mac_of(settings.packed("fe80::f816:3eff:feaa:bbcc")) == VM
    assert settings.mac_of(settings.packed("fe80::1")) is None
    assert settings.mac_of(settings.packed("10.0.0.5")) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nothing", json.dumps({"router_id": "x", "key": "zz"})],
    ids=["empty", "list", "object", "words", "no-hex"],
)
def test_unusable_settings_are_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        settings.parse(text)


def test_unusable_parts_of_settings_are_a_value_error():
    for bad in ({"key": "zz"}, {"port": None}, {"networks": [1]}, {"upstream": {}}):
        with pytest.raises(ValueError, match=r"."):
            told(**bad)


def request(data, timeout_s=2.0):
    """Feed bytes to the reader as a client would, then close."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(data), theirs.shutdown(1)))
        sender.start()
        try:
            return http1.read_request(ours, timeout_s)
        finally:
            sender.join()


def test_plain_request_is_read():
    found = request(b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nA:  b \r\n\r\nhi")
    assert found == http1.Request(
        "POST", "/a?b=c", {"host": "x", "content-length": "2", "a": "b"}, b"hi"
    )


def test_repeated_headers_are_joined():
    assert request(b"GET / HTTP/1.0\r\nA: 1\r\nA: 2\r\n\r\n").headers == {"a": "1, 2"}


def test_client_that_says_nothing_is_not_waited_for():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(http1.Problem) as caught:
        http1.read_request(ours, 0.05)
    assert caught.value.status == 408


def test_body_that_stays_away_is_an_error():
    with pytest.raises(OSError, match="body"):
        request(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc")


token = st.text(st.sampled_from("GETPOSTabc /:?#%\t\r\n\x00\x7fé-_.,;0123"), max_size=20)


@given(st.lists(token, max_size=6), st.binary(max_size=30))
def test_what_is_read_can_be_written_without_a_second_meaning(lines, body):
    """Any bytes: either refused, or of one line per thing, so that nothing can be smuggled on."""
    text = "GET /x HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    try:
        found = request(text.encode() + body)
    except (http1.Problem, OSError):
        return
    assert found.method == "GET"
    assert found.target == "/x"
    for name, value in found.headers.items():
        assert not set(name) & set(" \t\r\n:\x00")
        assert not set(value) & set("\r\n\x00\x7f")


@given(st.text(max_size=40))
def test_request_line_is_exact(text):
    line = f"GET {text} HTTP/1.1\r\n\r\n".encode()
    try:
        found = request(line)
    except (http1.Problem, OSError):
        return
    assert found.target.startswith("/")
    assert found.target.isascii()
    assert not set(found.target) & set(" \r\n\t")


NIC = base.Nic("fa:16:3e:00:00:01", "eth1", "ge1")


def render(tmp_path, allocations, **orchestrator):
    document = contract.parse(
        {
            "router_id": "router",
            "networks": [
                {
                    "network_id": "blue",
                    "network_type": "internal",
                    "interface": {"lladdr": NIC.mac},
                    "allocations": allocations,
                }
            ],
            "orchestrator": {"address": "fd00::1", "metadata_key": "5a" * 32} | orchestrator,
        }
    )
    driver = MetadataDriver(paths.Paths.under(tmp_path))
    desired = driver.render(document, base.Facts({NIC.mac: NIC}))
    driver.check(desired)
    return desired


def port(device_id, tenant_id="tenant"):
    return {
        "mac_address": VM,
        "ip_addresses": {"10.0.0.5": False},
        "device_id": device_id,
        "tenant_id": tenant_id,
    }


def test_settings_tell_every_instance(tmp_path):
    found = settings.parse(render(tmp_path, [port("one")]).settings)
    assert found.networks["eth1"].addresses == {settings.packed("10.0.0.5"): ONE}
    assert found.upstream == ("fd00::1", 9697)


@pytest.mark.parametrize("word", ["", "a b", "é", 'x"', "a,b", "x\u00a0y"])
def test_what_is_no_id_becomes_no_header(tmp_path, word):
    for allocation in (port(word), port("one", word)):
        found = settings.parse(render(tmp_path, [allocation]).settings)
        assert found.networks["eth1"].addresses == {}


def test_without_a_key_there_is_no_proxy(tmp_path):
    assert render(tmp_path, [port("one")], metadata_key="").settings is None
    assert render(tmp_path, [port("one")], address="").settings is None
