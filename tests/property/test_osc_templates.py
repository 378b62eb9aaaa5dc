"""A patched template is, byte for byte, what python-osc builds from the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from soulstream_engine.errors import InvariantError
from soulstream_engine.osc.template import MAX_DATAGRAM_BYTES, BundleTemplate, MessageSpec, Slot

FLOAT32 = st.floats(width=32, allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
ARGUMENT = st.one_of(TEXT, st.integers(-(2**31), 2**31 - 1), st.just(Slot.FLOAT))
MESSAGE = st.builds(
    MessageSpec,
    st.text("abcdefgh/", min_size=1, max_size=30).map("/".__add__),
    st.lists(ARGUMENT, max_size=9).map(tuple),
)


def reference_message(spec: MessageSpec, values: list[float]) -> object:
    builder = OscMessageBuilder(address=spec.address)
    for argument in spec.arguments:
        if argument is Slot.FLOAT:
            builder.add_arg(values.pop(0), "f")
        else:
            builder.add_arg(argument, "s" if isinstance(argument, str) else "i")
    return builder.build()


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGE, min_size=1, max_size=40), st.booleans(), st.data())
def test_bytes_equal_python_osc(messages: list[MessageSpec], bundled: bool, data: st.DataObject) -> None:
    template = BundleTemplate(messages, bundled=bundled)
    for _ in range(2):  # the second frame overwrites the first completely
        values = data.draw(st.lists(FLOAT32, min_size=template.num_slots, max_size=template.num_slots))
        datagrams = [bytes(d) for d in template.fill(np.asarray(values, dtype=np.float32))]
        built = [reference_message(m, values) for m in messages]
        assert sum(template.message_counts) == len(messages)
        for datagram, count in zip(datagrams, template.message_counts, strict=True):
            mine, built = built[:count], built[count:]
            if bundled:
                builder = OscBundleBuilder(IMMEDIATELY)
                for message in mine:
                    builder.add_content(message)
                assert datagram == builder.build().dgram
            else:
                assert count == 1
                assert datagram == mine[0].dgram
            assert len(datagram) <= MAX_DATAGRAM_BYTES


@given(st.lists(MESSAGE, min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_a_datagram_ends_only_where_the_next_message_would_not_fit(messages: list[MessageSpec]) -> None:
    template = BundleTemplate(messages)
    datagrams = template.fill(np.zeros(template.num_slots, np.float32))
    alone = [BundleTemplate([message]) for message in messages]
    sizes = [len(one.fill(np.zeros(one.num_slots, np.float32))[0]) - 16 for one in alone]
    first = 0
    for datagram, count in zip(datagrams[:-1], template.message_counts, strict=False):
        first += count
        assert len(datagram) + sizes[first] > MAX_DATAGRAM_BYTES


def test_a_message_longer_than_a_datagram_is_refused_with_numbers() -> None:
    with pytest.raises(InvariantError, match=r"needs 2\d\d\d bytes; the limit is 1432"):
        BundleTemplate([MessageSpec("/long", ("x" * 2000,))])
