"""The signature of metadata requests binds every part of what is claimed."""

import dataclasses

import pytest

from astara_contract import metadata

KEY = metadata.derive_key("secret", "router-1")
CLAIM = metadata.Claim("router-1", instance_id="vm", tenant_id="t", client="10.0.0.5")


def test_a_signature_verifies_with_the_same_claim():
    assert metadata.verify(metadata.sign(KEY, CLAIM), KEY, CLAIM)


TIMED = dataclasses.replace(CLAIM, at="1700000000", request=metadata.bound("GET", "/latest"))
WHO = ("router_id", "instance_id", "tenant_id", "client")


def test_a_signature_of_the_release_before_is_what_it_was():
    assert metadata.sign(KEY, CLAIM) == (
        "3731c313a23d401709c108e0be3c8a5424473a4a64be0c2aab6297753876c441"
    )


@pytest.mark.parametrize("part", [*WHO, "at", "request"])
def test_a_changed_part_breaks_a_timed_signature(part):
    signature = metadata.sign(KEY, TIMED)
    assert metadata.verify(signature, KEY, TIMED)
    assert not metadata.verify(signature, KEY, dataclasses.replace(TIMED, **{part: "1700000001"}))


def test_a_timed_signature_is_none_without_its_time_nor_the_other_way():
    assert not metadata.verify(metadata.sign(KEY, TIMED), KEY, CLAIM)
    assert not metadata.verify(metadata.sign(KEY, CLAIM), KEY, TIMED)


def test_slashes_at_the_beginning_of_a_target_are_one():
    assert metadata.bound("GET", "//a//b") == metadata.bound("GET", "/a//b") == "GET /a//b"


def test_a_time_is_seconds_and_nothing_else():
    assert metadata.skew_s("1700000010", 1700000000.0) == 10
    for text in ("", "-1", "1.5", "1e9", "٣", "9" * 13, " 1"):
        with pytest.raises(ValueError, match="seconds since 1970"):
            metadata.skew_s(text, 0.0)


@pytest.mark.parametrize("part", WHO)
def test_a_changed_part_breaks_the_signature(part):
    signature = metadata.sign(KEY, CLAIM)
    assert not metadata.verify(signature, KEY, dataclasses.replace(CLAIM, **{part: "other"}))


def test_the_key_of_one_router_does_not_serve_another():
    other = metadata.derive_key("secret", "router-2")
    assert not metadata.verify(metadata.sign(other, CLAIM), KEY, CLAIM)


@pytest.mark.parametrize("garbage", ["", "0" * 64, "ü" * 64], ids=["empty", "zeros", "not ascii"])
def test_garbage_is_not_a_signature(garbage):
    assert not metadata.verify(garbage, KEY, CLAIM)


def test_an_upstream_is_an_address_and_a_port():
    assert metadata.parse_upstream("FD00::1 9697") == ("fd00::1", 9697)
    assert metadata.parse_upstream("192.0.2.1 1") == ("192.0.2.1", 1)


@pytest.mark.parametrize(
    "text", ["", "::1", "::1 ", "::1 0", "::1 65536", "::1 -1", "x 1", "::1  1"]
)
def test_anything_else_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        metadata.parse_upstream(text)
