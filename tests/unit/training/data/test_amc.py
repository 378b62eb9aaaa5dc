"""Motion files: complete frames only, and errors that name the line."""

from __future__ import annotations

import gzip

import pytest

from soulstream_training.data import amc
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import MotionFileError, read_asf


def test_values_follow_the_skeleton_whatever_the_order_of_the_lines(recording):
    skeleton = read_asf(recording.skeleton())
    path = recording.motion(2, lambda frame: {"root": f"{frame} 2 3 4 5 6", "ltibia": "7"})
    header, _, second = path.read_text().partition("\n1\n")
    lines = second.splitlines()
    bones, rest = lines[: lines.index("2")], lines[lines.index("2") :]
    path.write_text("\n".join([header, "1", *reversed(bones), *rest, ""]))
    values = read_amc(path, skeleton)
    assert values.shape[0] == 2
    assert values[1, :6].tolist() == [1, 2, 3, 4, 5, 6]
    assert (values == 7).sum(axis=1).tolist() == [1, 1]
    assert values[0, 6:].tolist() == values[1, 6:].tolist()


def test_packed_and_plain_are_the_same(recording):
    skeleton = read_asf(recording.skeleton())
    path = recording.motion(3, lambda frame: {"ltibia": f"{frame}"})
    packed = recording.folder / "1.amc.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert (read_amc(path, skeleton) == read_amc(packed, skeleton)).all()


def test_truncated_frame_is_refused_by_line(recording):
    skeleton = read_asf(recording.skeleton())
    path = recording.motion(3)
    lines = path.read_text().splitlines()[:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(MotionFileError, match=rf"1\.amc:{len(lines)}: frame 3 \(from line \d+\) lacks 5 of"):
        read_amc(path, skeleton)


def test_truncated_archive_is_refused(recording):
    skeleton = read_asf(recording.skeleton())
    packed = gzip.compress(recording.motion(20).read_bytes())
    path = recording.folder / "1.amc.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_amc(path, skeleton)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n2\n", "\n5\n", "frame number 5 should be 2"),
        ("ltibia 0", "ltibia 1e999", "'1e999' is not a finite number"),
        ("ltibia 0", "ltibia 0 0", r"has 2 values \['0', '0'\], expected 1"),
        ("ltibia 0", "ltail 0", "'ltail' does not move"),
        ("rtibia 0", "ltibia 0", "'ltibia' appears twice in frame 1"),
        (":DEGREES", ":RADIANS", "':RADIANS'"),
        ("\n1\n", "\n", "before the first frame"),
    ],
)
def test_deviations_are_refused_with_their_value(recording, old, new, message):
    skeleton = read_asf(recording.skeleton())
    path = recording.motion(2)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(MotionFileError, match=message):
        read_amc(path, skeleton)


def test_frames_are_capped(recording, monkeypatch):
    monkeypatch.setattr(amc, "MAX_FRAMES", 2)
    with pytest.raises(MotionFileError, match="more than 2 frames"):
        read_amc(recording.motion(3), read_asf(recording.skeleton()))


def test_empty_motion_is_refused(recording):
    with pytest.raises(MotionFileError, match="no frames"):
        read_amc(recording.motion(0), read_asf(recording.skeleton()))
