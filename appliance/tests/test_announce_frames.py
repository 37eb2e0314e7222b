"""Gratuitous ARP and unsolicited neighbour advertisement, parsed back field by field."""

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.system import announce

macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))


@given(macs, st.ip_addresses(v=4))
def test_arp_is_a_broadcast_request_for_the_own_address(mac, address):
    frame = announce.frame(announce.Announcement("eth1", mac, str(address)))
    raw = bytes.fromhex(mac.replace(":", ""))
    assert len(frame) == 42
    assert frame[:14] == b"\xff" * 6 + raw + b"\x08\x06"
    operation, sender, sender_ip, target, target_ip = struct.unpack("!H6s4s6s4s", frame[20:])
    assert operation == 1
    assert (sender, sender_ip) == (raw, address.packed)
    assert (target, target_ip) == (bytes(6), address.packed)


@given(macs, st.ip_addresses(v=6))
def test_advertisement_overrides_and_has_a_right_checksum(mac, address):
    frame = announce.frame(announce.Announcement("eth1", mac, str(address)))
    raw = bytes.fromhex(mac.replace(":", ""))
    assert frame[:14] == bytes.fromhex("333300000001") + raw + b"\x86\xdd"
    length, following, hop_limit = struct.unpack("!HBB", frame[18:22])
    source, destination, message = frame[22:38], frame[38:54], frame[54:]
    assert (length, following, hop_limit) == (len(message), 58, 255)
    assert source == address.packed
    assert destination == ipaddress.IPv6Address("ff02::1").packed
    assert message[0] == 136
    assert message[4] & 0x20
    assert message[8:24] == address.packed
    assert message[24:] == b"\x02\x01" + raw
    pseudo = source + destination + struct.pack("!II", length, 58)
    # The sum over everything including the checksum is zero (RFC 1071).
    assert announce.checksum(pseudo + message) == 0
