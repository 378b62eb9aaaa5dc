"""The receiver's parser reads what python-osc writes and refuses everything that is not OSC, quickly."""

from __future__ import annotations

import contextlib
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from soulstream_clients.osc_parser import MalformedPacketError, OscMessage, parse_packet

BUNDLE = b"#bundle\0" + struct.pack(">Q", 1)
EMPTY = b"/a\0\0,\0\0\0"


def element(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def test_reads_bundles_of_bundles_in_order() -> None:
    inner, outer = OscBundleBuilder(IMMEDIATELY), OscBundleBuilder(IMMEDIATELY)
    for bundle, address in ((inner, "/b"), (outer, "/a")):
        message = OscMessageBuilder(address)
        for value in ("text", 7, 0.5, True, b"blob1"):
            message.add_arg(value)
        bundle.add_content(message.build())
    outer.add_content(inner.build())
    last = OscMessageBuilder("/c").build()
    outer.add_content(last)
    expected = ("text", 7, 0.5, True, b"blob1")
    assert parse_packet(outer.build().dgram) == [
        OscMessage("/a", expected),
        OscMessage("/b", expected),
        OscMessage("/c", ()),
    ]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        b"/a",
        b"nothing\0",
        b"/a\0\0,f\0\0",
        b"/a\0\0,f\0\0\0\0\0\0\0\0\0\0",
        b"/a\0\0,z\0\0\0\0\0\0",
        b"/a\0x,\0\0\0",
        b"/\xff\0\0,\0\0\0",
        b"/a\0\0,b\0\0" + struct.pack(">i", -4),
        b"/a\0\0,b\0\0" + struct.pack(">i", 2**31 - 1),
        b"#bundle\0",
        BUNDLE + b"\0\0",
        BUNDLE + struct.pack(">i", -8) + EMPTY,
        BUNDLE + struct.pack(">i", -20),
        BUNDLE + struct.pack(">i", 0),
        BUNDLE + struct.pack(">i", 7) + EMPTY,
        BUNDLE + struct.pack(">i", 2**31 - 1) + EMPTY,
        BUNDLE + element(EMPTY) * 2000,
    ],
)
def test_refuses_what_is_not_osc(packet: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        parse_packet(packet)


def test_two_thousand_nested_bundles_are_refused_not_recursed() -> None:
    packet = EMPTY
    for _ in range(2000):
        packet = BUNDLE + element(packet)
    with pytest.raises(MalformedPacketError, match="nested deeper than 4"):
        parse_packet(packet)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", BUNDLE, BUNDLE + b"\0\0\0", b"/a\0\0,"]))
def test_any_bytes_end_in_messages_or_in_one_error(tail: bytes, head: bytes) -> None:
    before = time.monotonic()
    with contextlib.suppress(MalformedPacketError):
        parse_packet(head + tail)
    assert time.monotonic() - before < 1.0
