"""OSC datagrams whose bytes are built once and whose numbers are patched in every frame.

python-osc takes about a millisecond to build a frame of a hundred messages; addresses, names and type tags never
change, so it builds them once, at start, and the hot path writes only the big-endian floats at known offsets.
Not for: deciding what is in a frame (``vmc``) or sending it (``sender``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from soulstream_engine.errors import InvariantError

MAX_DATAGRAM_BYTES = 1432
"""Largest datagram we send, bytes: a 1500-byte MTU less its headers, with room for a tunnel. Source: ours."""

_BUNDLE_HEADER_BYTES = 16  # "#bundle\0" and the time tag
_SIZE_BYTES = 4  # the size written before every element of a bundle
_FLOAT_BYTES = 4


class Slot(Enum):
    """Marks an argument that changes from frame to frame."""

    FLOAT = "f"


Argument = str | int | Slot
"""A constant string, a constant int32, or a float32 to be filled in."""


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One OSC message of a template: an address and its arguments, in order."""

    address: str
    arguments: tuple[Argument, ...] = ()


class BundleTemplate:
    """A frame of OSC messages as ready-made datagrams.

    Messages keep their order and are never cut; a new datagram starts where the next message would not fit.

    Args:
        messages: The messages of one frame, in the order in which they are sent.
        max_bytes: Largest datagram, bytes.
        bundled: Whether messages travel in bundles (time tag *immediately*) or each in a datagram of its own, for
            receivers that cannot unpack bundles.

    Raises:
        InvariantError: If a single message does not fit ``max_bytes``.
    """

    def __init__(
        self, messages: Sequence[MessageSpec], *, max_bytes: int = MAX_DATAGRAM_BYTES, bundled: bool = True
    ) -> None:
        built = [_build_message(message) for message in messages]
        groups = _group(built, max_bytes, bundled=bundled)
        self.message_counts: tuple[int, ...] = tuple(len(group) for group in groups)
        """Messages in each datagram."""

        data = bytearray()
        ends: list[int] = []
        slots: list[int] = []
        for group in groups:
            position = len(data)
            data += _build_bundle([built[i] for i in group]) if bundled else built[group[0]].dgram
            position += _BUNDLE_HEADER_BYTES if bundled else 0
            for i in group:
                position += _SIZE_BYTES if bundled else 0
                slots.extend(position + offset for offset in _float_offsets(messages[i]))
                position += len(built[i].dgram)
            ends.append(len(data))

        # OSC pads everything to four bytes, so every slot is one element of a big-endian float view.
        self._words: NDArray[np.float32] = np.frombuffer(data, dtype=">f4")
        self._slots: NDArray[np.intp] = np.asarray(slots, dtype=np.intp) // _FLOAT_BYTES
        whole = memoryview(data).toreadonly()
        self._datagrams = tuple(whole[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))

    @property
    def num_slots(self) -> int:
        """Floats in one frame."""
        return len(self._slots)

    def fill(self, values: NDArray[np.float32]) -> tuple[memoryview, ...]:
        """Write the numbers of one frame.

        Args:
            values: [num_slots] float32, one for every ``Slot.FLOAT`` in message order.

        Returns:
            The datagrams, in sending order. They are views of one buffer: valid until the next ``fill``.

        Live: pacer thread only; a few microseconds, allocates nothing that grows.
        """
        self._words[self._slots] = values
        return self._datagrams


def _build_message(spec: MessageSpec) -> OscMessage:
    """The bytes of one message, with 0.0 in every slot."""
    builder = OscMessageBuilder(address=spec.address)
    for argument in spec.arguments:
        if argument is Slot.FLOAT:
            builder.add_arg(0.0, OscMessageBuilder.ARG_TYPE_FLOAT)
        elif isinstance(argument, int):
            builder.add_arg(argument, OscMessageBuilder.ARG_TYPE_INT)
        else:
            builder.add_arg(argument, OscMessageBuilder.ARG_TYPE_STRING)
    return builder.build()


def _build_bundle(messages: Sequence[OscMessage]) -> bytes:
    """One bundle with the time tag *immediately*: a later tag makes some receivers hold everything behind it."""
    builder = OscBundleBuilder(IMMEDIATELY)
    for message in messages:
        builder.add_content(message)
    return bytes(builder.build().dgram)


def _group(built: Sequence[OscMessage], max_bytes: int, *, bundled: bool) -> list[list[int]]:
    """Indices of the messages of each datagram."""
    overhead = _BUNDLE_HEADER_BYTES + _SIZE_BYTES if bundled else 0
    groups: list[list[int]] = []
    size = 0
    for i, message in enumerate(built):
        length = len(message.dgram)
        if length + overhead > max_bytes:
            raise InvariantError(
                "OSC_MESSAGE_TOO_LONG",
                f"OSC message {message.address} needs {length + overhead} bytes; the limit is {max_bytes}.",
                "Split the message or raise the limit.",
            )
        if groups and bundled and size + _SIZE_BYTES + length <= max_bytes:
            groups[-1].append(i)
            size += _SIZE_BYTES + length
        else:
            groups.append([i])
            size = length + overhead
    return groups


def _float_offsets(spec: MessageSpec) -> list[int]:
    """Byte offsets of the float slots inside the message."""
    position = _padded(spec.address) + _padded("," + "x" * len(spec.arguments))
    offsets: list[int] = []
    for argument in spec.arguments:
        if argument is Slot.FLOAT:
            offsets.append(position)
        position += _padded(argument) if isinstance(argument, str) else _FLOAT_BYTES
    return offsets


def _padded(text: str) -> int:
    """Bytes of an OSC string: UTF-8, at least one zero byte, a multiple of four."""
    return (len(text.encode("utf-8")) // 4 + 1) * 4
