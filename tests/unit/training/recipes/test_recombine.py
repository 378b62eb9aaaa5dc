"""Legs of one dance under the rest of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.motion_store import FRAMES, write_motion

from soulstream_training.data.store import Clip, load_store
from soulstream_training.recipes.recombine import LEGS, recombine, recombined


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    write_motion(tmp_path / "store")
    return load_store(tmp_path / "store")


def test_each_half_is_the_half_of_its_dance(clips: list[Clip]) -> None:
    below, above = clips[0], replace(clips[1], segments=np.array([[10, 50], [60, 200]], np.int32))
    both = recombine(below, above)
    assert both is not None
    assert both.segments.tolist() == [[0, 140]]
    rest = [joint for joint in range(22) if joint not in LEGS]
    np.testing.assert_array_equal(both.root_m, below.root_m[:140])
    np.testing.assert_array_equal(both.joint_wxyz[:, LEGS], below.joint_wxyz[:140][:, LEGS])
    np.testing.assert_array_equal(both.joint_wxyz[:, rest], above.joint_wxyz[60:200][:, rest])
    assert recombine(replace(below, segments=np.zeros((0, 2), np.int32)), above) is None


def test_only_dances_of_one_pace_are_put_together(clips: list[Clip]) -> None:
    slow = replace(clips[0], entry=replace(clips[0].entry, tempo_bpm=100.0))
    other = replace(clips[1], entry=replace(clips[1].entry, tempo_bpm=None, style="waltz"))
    assert recombined([slow, clips[1]], 10, 0) == []
    assert recombined([clips[0], other], 10, 0) == []
    made = recombined(clips[:2], 10, 0)
    assert {clip.entry.clip_id for clip in made} == {"clip_0+clip_1", "clip_1+clip_0"}
    assert all(len(clip.root_m) == FRAMES for clip in made)
    assert len(recombined(clips[:2], 1, 0)) == 1
    assert recombined(clips[:2], 0, 0) == []
