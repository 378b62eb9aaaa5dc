"""Sound is placed exactly on frames, follows lost audio at once and a drifting device slowly, and ignores jitter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulstream_engine.clock import frame_due_ns
from soulstream_engine.runtime.media_map import MediaMap

SECOND = 1_000_000_000
BLOCK = 480
BLOCK_NS = 10_000_000


def feed(media_map: MediaMap, start_ns: int, num_blocks: int, *, rate: float = 1.0, jitter: float = 0.0) -> int:
    """Blocks of a device that runs ``rate`` times too slow; returns the true time after the last."""
    rng = np.random.default_rng(1)
    for number in range(num_blocks):
        true_ns = start_ns + int(number * BLOCK_NS * rate)
        media_map.place(true_ns + int(rng.random() * jitter * SECOND), BLOCK)
    return start_ns + int(num_blocks * BLOCK_NS * rate)


@given(
    epoch_ns=st.integers(0, 10**15),
    after_ns=st.integers(0, 10**12),
    offset_ms=st.integers(-2000, 2000),
)
def test_a_stream_that_starts_aligned_is_placed_without_cutting(epoch_ns: int, after_ns: int, offset_ms: int) -> None:
    media_map = MediaMap(epoch_ns, offset_ms * 1_000_000)
    start_ns = media_map.align(epoch_ns + after_ns)
    assert 0 <= start_ns - (epoch_ns + after_ns) <= SECOND // 30 + 1
    assert media_map.place(start_ns, BLOCK) == 0
    due_ns = frame_due_ns(media_map.offset_frames, epoch_ns)
    assert abs(due_ns - (start_ns + offset_ms * 1_000_000)) <= 1


@given(after_ns=st.integers(0, 10**10))
def test_a_device_loses_less_than_one_frame_at_its_start(after_ns: int) -> None:
    media_map = MediaMap(0)
    cut_total = 0
    for number in range(6):
        cut = media_map.place(after_ns + number * BLOCK_NS, BLOCK)
        cut_total += cut
        if cut < BLOCK:
            break
    assert cut_total <= 1600
    first_kept_ns = after_ns + cut_total * SECOND // 48000
    assert abs(first_kept_ns - frame_due_ns(media_map.offset_frames, 0)) < 50_000


def test_jitter_changes_nothing() -> None:
    media_map = MediaMap(0)
    feed(media_map, 0, 1000, jitter=0.024)  # as a PulseAudio monitor
    assert media_map.offset_frames <= 1
    assert media_map.shifts == 0


@pytest.mark.parametrize(("gap_s", "frames"), [(0.5, 15), (2.0, 60), (61.0, 1830)])
def test_lost_audio_is_skipped_at_once(gap_s: float, frames: int) -> None:
    media_map = MediaMap(0)
    now_ns = feed(media_map, 0, 100)
    feed(media_map, now_ns + int(gap_s * SECOND), 3)
    assert media_map.offset_frames == frames


def test_one_odd_stamp_is_not_believed() -> None:
    media_map = MediaMap(0)
    now_ns = feed(media_map, 0, 100)
    media_map.place(now_ns - 3 * SECOND, BLOCK)
    feed(media_map, now_ns + BLOCK_NS, 200)
    assert media_map.offset_frames == 0


def test_small_losses_are_noticed_within_a_second_or_two() -> None:
    media_map = MediaMap(0)
    now_ns = feed(media_map, 0, 100)
    feed(media_map, now_ns + 70_000_000, 220, jitter=0.02)
    assert media_map.offset_frames == 2


@pytest.mark.parametrize("rate", [1.0002, 0.9998])
def test_a_device_clock_that_runs_wrong_is_followed_within_a_frame(rate: float) -> None:
    media_map = MediaMap(0)
    blocks = 60_000  # ten minutes
    feed(media_map, 0, 1)
    feed(media_map, int(BLOCK_NS * rate), blocks, rate=rate, jitter=0.01)
    error_s = blocks * 0.01 * (rate - 1.0)
    assert abs(media_map.offset_frames / 30 - error_s) < 1 / 30
    assert 1 <= media_map.shifts <= 5


def test_stream_time_of_a_tap() -> None:
    media_map = MediaMap(0, 0)
    assert media_map.stream_seconds(5 * SECOND) == 0.0
    feed(media_map, 0, 100)
    assert media_map.stream_seconds(SECOND // 2) == pytest.approx(0.5)
