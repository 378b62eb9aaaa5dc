"""The ring never blocks, never repeats, never reorders; what it loses is counted."""

from __future__ import annotations

import sys
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from soulstream_engine.audio.ring import AudioRing

RATE = 1000


@given(
    capacity=st.integers(1, 40),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=60),
)
def test_what_is_read_is_the_newest_in_order_and_the_rest_is_counted(
    capacity: int, steps: list[tuple[bool, int]]
) -> None:
    ring = AudioRing(capacity, 2, RATE)
    written = position = 0
    for is_write, size in steps:
        if is_write:
            numbers = np.arange(written, written + size, dtype=np.float32)
            ring.write(np.stack([numbers, -numbers], axis=1), captured_ns=written * 1_000_000)
            written += size
            continue
        read = ring.read(size)
        if len(read.samples):
            assert read.first_sample >= position
            assert read.first_sample >= written - capacity
            assert np.array_equal(read.samples[:, 0], np.arange(len(read.samples)) + read.first_sample)
            assert np.array_equal(read.samples[:, 1], -read.samples[:, 0])
            assert read.first_ns == read.first_sample * 1_000_000
            position = read.first_sample + len(read.samples)
        assert len(read.samples) <= size
    ring.read(capacity)
    rest = ring.read(capacity)
    assert len(rest.samples) == 0
    assert ring.available == 0
    assert ring.written == written


def test_a_busy_writer_never_shows_torn_samples() -> None:
    ring = AudioRing(512, 1, 48_000)
    total = 400_000
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:

        def write() -> None:
            for start in range(0, total, 160):
                ring.write(np.arange(start, start + 160, dtype=np.float32)[:, None], start)

        writer = threading.Thread(target=write)
        writer.start()
        seen = position = 0
        while writer.is_alive() or ring.available:
            read = ring.read(100)
            if len(read.samples) == 0:
                continue
            assert np.array_equal(read.samples[:, 0], np.arange(len(read.samples)) + read.first_sample)
            assert read.first_sample >= position
            position = read.first_sample + len(read.samples)
            seen += len(read.samples)
        writer.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen + ring.lost == total
