"""A strict OSC 1.0 reader for packets that anybody may have sent.

It walks the bytes with a stack of its own, always forward: no recursion, no pattern, no packet that keeps it busy.
Anything that is not right makes the whole packet ``MalformedPacketError``. Time tags are ignored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

Argument = int | float | str | bytes | bool | None

MAX_DEPTH = 4
"""Bundles inside bundles."""

MAX_MESSAGES = 1024
"""Messages in one packet."""

MAX_ARGUMENTS = 256
"""Arguments of one message."""

_BUNDLE = b"#bundle\0"
_NUMBERS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d", "t": ">Q", "c": ">i", "r": ">I", "m": ">I"}
_CONSTANTS: dict[str, Argument] = {"T": True, "F": False, "N": None, "I": True}


class MalformedPacketError(ValueError):
    """The packet is not valid OSC, or larger than the limits of this reader."""


@dataclass(frozen=True, slots=True)
class OscMessage:
    """An address and its arguments, in order."""

    address: str
    arguments: tuple[Argument, ...]


def parse_packet(packet: bytes) -> list[OscMessage]:
    """All messages of a packet, in order, out of any bundles.

    Raises:
        MalformedPacketError: If a size, string, type tag or limit is wrong.
    """
    if packet[:8] != _BUNDLE:
        return [_parse_message(packet)]
    messages: list[OscMessage] = []
    regions = [(_first_element(packet, 0, len(packet)), len(packet))]
    while regions:
        position, end = regions.pop()
        if position == end:
            continue
        if end - position < 4:
            raise MalformedPacketError(f"{end - position} stray bytes at the end of a bundle")
        (size,) = struct.unpack_from(">i", packet, position)
        position += 4
        if size <= 0 or size % 4 or size > end - position:
            raise MalformedPacketError(f"element size {size}; {end - position} bytes are left")
        regions.append((position + size, end))
        if packet[position : position + 8] == _BUNDLE:
            if len(regions) >= MAX_DEPTH:
                raise MalformedPacketError(f"bundles nested deeper than {MAX_DEPTH}")
            regions.append((_first_element(packet, position, position + size), position + size))
        else:
            messages.append(_parse_message(packet[position : position + size]))
            if len(messages) > MAX_MESSAGES:
                raise MalformedPacketError(f"more than {MAX_MESSAGES} messages")
    return messages


def _first_element(packet: bytes, start: int, end: int) -> int:
    """Where the elements of the bundle at ``start`` begin."""
    if end - start < 16:
        raise MalformedPacketError("bundle without a time tag")
    return start + 16


def _parse_message(data: bytes) -> OscMessage:
    address, position = _string(data, 0)
    if not address.startswith("/"):
        raise MalformedPacketError(f"address {address[:40]!r} does not begin with a slash")
    if position == len(data):
        return OscMessage(address, ())  # very old senders leave the type tags out
    tags, position = _string(data, position)
    if not tags.startswith(",") or len(tags) - 1 > MAX_ARGUMENTS:
        raise MalformedPacketError(f"type tags {tags[:40]!r}")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        if tag in _NUMBERS:
            layout = _NUMBERS[tag]
            if position + struct.calcsize(layout) > len(data):
                raise MalformedPacketError(f"{address}: the packet ends inside an argument")
            arguments.append(struct.unpack_from(layout, data, position)[0])
            position += struct.calcsize(layout)
        elif tag in "sS":
            text, position = _string(data, position)
            arguments.append(text)
        elif tag == "b":
            blob, position = _blob(data, position)
            arguments.append(blob)
        elif tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        else:
            raise MalformedPacketError(f"{address}: unknown type tag {tag!r}")
    if position != len(data):
        raise MalformedPacketError(f"{address}: {len(data) - position} bytes too many")
    return OscMessage(address, tuple(arguments))


def _string(data: bytes, start: int) -> tuple[str, int]:
    """A zero-terminated UTF-8 string, padded to four bytes, and the position after it."""
    stop = data.find(b"\0", start)
    after = (stop // 4 + 1) * 4
    if stop < 0 or after > len(data) or any(data[stop:after]):
        raise MalformedPacketError("string without its end or padding")
    try:
        return data[start:stop].decode("utf-8"), after
    except UnicodeDecodeError as error:
        raise MalformedPacketError("string that is not UTF-8") from error


def _blob(data: bytes, start: int) -> tuple[bytes, int]:
    """A sized run of bytes, padded to four, and the position after it."""
    if start + 4 > len(data):
        raise MalformedPacketError("the packet ends inside an argument")
    (size,) = struct.unpack_from(">i", data, start)
    after = start + 4 + (size + 3) // 4 * 4
    if size < 0 or after > len(data):
        raise MalformedPacketError(f"blob of size {size}")
    return data[start + 4 : start + 4 + size], after
