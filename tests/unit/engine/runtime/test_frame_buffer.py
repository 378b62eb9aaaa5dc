"""The frame buffer is bounded and forgets what nobody can show any more."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.runtime.frame_buffer import FrameBuffer

ZERO = np.zeros(3, np.float32)


def frame(index: int, tag: float = 0.0) -> PoseFrame:
    return PoseFrame(index, ZERO + np.float32(tag), ZERO, ZERO, ZERO, Provenance.GENERATED)


def test_frames_come_out_once_by_index_in_any_order_of_arrival() -> None:
    buffer = FrameBuffer()
    assert buffer.put([frame(2), frame(0), frame(1)], epoch=0) == 3
    assert [buffer.take(n).index for n in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
    assert buffer.take(2) is None


def test_what_comes_too_late_too_early_or_from_before_a_reset_is_counted() -> None:
    buffer = FrameBuffer(capacity=10)
    buffer.put([frame(0), frame(1)], epoch=0)
    buffer.take(1)
    assert buffer.put([frame(1), frame(12), frame(11)], epoch=0) == 1
    epoch = buffer.reset()
    assert len(buffer) == 0
    assert buffer.put([frame(3)], epoch=0) == 0
    assert buffer.put([frame(3)], epoch=epoch) == 1
    assert (buffer.counts.late, buffer.counts.too_early, buffer.counts.stale) == (1, 1, 1)


def test_the_newer_frame_of_an_index_wins() -> None:
    buffer = FrameBuffer()
    buffer.put([frame(4, 1.0)], 0)
    buffer.put([frame(4, 2.0)], 0)
    taken = buffer.take(4)
    assert taken is not None
    assert taken.root_m[0] == 2.0
    assert buffer.counts.replaced == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=80))
def test_never_more_than_its_capacity_and_never_an_index_twice(steps: list[tuple[bool, int]]) -> None:
    buffer = FrameBuffer(capacity=8)
    shown: list[int] = []
    next_index = 0
    for is_put, number in steps:
        if is_put:
            buffer.put([frame(number)], 0)
        else:
            taken = buffer.take(next_index)
            if taken is not None:
                shown.append(taken.index)
            next_index += 1 + number % 3
        assert len(buffer) <= 8
    assert shown == sorted(set(shown))
