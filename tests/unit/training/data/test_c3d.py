"""C3D: markers of files written here byte by byte come back; what is damaged or of another kind is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from soulstream_training.data import c3d
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.c3d import MARKER_GROUPS, marker_joints, read_c3d

LABELS = ("Anna:LFHD", "Anna:RFHD", "Anna:LBHD", "Anna:RBHD", "LKNE")
FRAMES = 4


def record(name, group, content):
    """A group (negative number) or parameter of the parameter section, with the offset to the next."""
    return struct.pack("<bb", len(name), group) + name.encode() + struct.pack("<H", len(content) + 2) + content


def parameter(name, kind, sizes, data):
    return record(name, 1, struct.pack("<bB", kind, len(sizes)) + bytes(sizes) + data + b"\0")


def texts(name, values, width=12):
    return parameter(name, -1, (width, len(values)), b"".join(value.ljust(width).encode() for value in values))


def sample():
    """Positions [T, M, 3] in millimetres and which were seen [T, M]."""
    position = np.random.default_rng(0).integers(-900, 900, size=(FRAMES, len(LABELS), 3)).astype(np.float64)
    is_seen = np.ones((FRAMES, len(LABELS)), bool)
    is_seen[2, 1] = False
    return position, is_seen


def c3d_bytes(*, is_float=True, analog=6, processor=84, unit="mm", rate=120.0, scale=0.5, labels=LABELS, frames=FRAMES):
    position, is_seen = sample()
    parameters = [
        record("POINT", -1, b"\0"),
        record("ANALOG", -2, b"\x03abc"),
        texts("LABELS", labels) if labels else b"",
        texts("UNITS", [unit]) if unit else b"",
        parameter("RATE", 4, (), struct.pack("<f", rate)),
        parameter("FRAMES", 2, (), struct.pack("<h", frames)),
        record("ANALOG:X", 2, struct.pack("<bB", 2, 1) + bytes([3]) + struct.pack("<3h", 1, 2, 3) + b"\0"),
    ]
    section = b"".join(parameters) + b"\0\0"
    blocks = -(-(len(section) + 4) // 512)
    section = (bytes([1, 0x50, blocks, processor]) + section).ljust(blocks * 512, b"\0")
    header = bytes([2, 0x50]) + struct.pack("<HHHH", len(LABELS), analog, 5, 4 + FRAMES)
    header += struct.pack("<HfHHf", 10, -scale if is_float else scale, 2 + blocks, 1, rate)
    fourth = np.where(is_seen, 3.0, -1.0)[..., None]
    scaled = position if is_float else position / scale
    points = np.concatenate([scaled, fourth], axis=-1).reshape(FRAMES, -1)
    rows = np.concatenate([points, np.full((FRAMES, analog), 7.0)], axis=1)
    return header.ljust(512, b"\0") + section + rows.astype("<f4" if is_float else "<i2").tobytes()


def write(tmp_path, **changes):
    path = tmp_path / "a.c3d"
    path.write_bytes(c3d_bytes(**changes))
    return path


def expected_m(unit_m=0.001):
    position, is_seen = sample()
    position[~is_seen] = np.nan
    return position * unit_m


@pytest.mark.parametrize("is_float", [True, False])
@pytest.mark.parametrize("analog", [0, 6])
def test_markers_come_back(tmp_path, is_float, analog):
    take = read_c3d(write(tmp_path, is_float=is_float, analog=analog), up="y")
    assert take.labels == ("LFHD", "RFHD", "LBHD", "RBHD", "LKNE")
    np.testing.assert_allclose(take.position_m, expected_m(), atol=1e-6)
    assert take.fps == 120.0


@pytest.mark.parametrize(("unit", "unit_m"), [("m", 1.0), ("CM", 0.01)])
def test_units_and_the_up_axis(tmp_path, unit, unit_m):
    take = read_c3d(write(tmp_path, unit=unit))
    file_m = expected_m(unit_m)
    np.testing.assert_allclose(take.position_m, np.stack([file_m[..., 0], file_m[..., 2], -file_m[..., 1]], -1))


def test_groups_are_averaged_and_gaps_stay_gaps(tmp_path):
    joints = marker_joints(read_c3d(write(tmp_path), up="y"))
    assert joints.names == ("head", "left_knee")
    np.testing.assert_allclose(joints.position_m[0, 0], expected_m()[0, :4].mean(axis=0), atol=1e-6)
    assert np.isnan(joints.position_m[2, 0]).all()
    np.testing.assert_allclose(joints.position_m[:, 1], expected_m()[:, 4], atol=1e-6)
    assert joints.fps == 120.0


def test_groups_know_both_sides_and_both_names_of_the_pelvis():
    assert MARKER_GROUPS["right_wrist"] == (("RWRA", "RWRB"),)
    assert [group[0] for group in MARKER_GROUPS["pelvis"]] == ["LASI", "LFWT"]
    assert {"left_foot", "right_shoulder", "left_ankle"} <= set(MARKER_GROUPS)


def test_a_name_that_appears_twice_is_no_marker(tmp_path):
    take = read_c3d(write(tmp_path, labels=("LFHD", "LFHD", "LBHD", "RBHD", "X")))
    assert marker_joints(take) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": 85}, r"a\.c3d: is in the byte order of processor DEC, only Intel \(84\)"),
        ({"processor": 86}, "processor MIPS"),
        ({"processor": 9}, "processor number 9"),
        ({"unit": "furlong"}, "has the unit 'furlong', mm, cm, m are read"),
        ({"unit": ""}, "has no POINT:UNITS"),
        ({"labels": LABELS[:3]}, "has 3 labels for 5 markers"),
        ({"labels": ()}, "has 0 labels for 5 markers"),
        ({"rate": 0.0}, r"runs at 0\.0 frames a second"),
        ({"rate": float("nan")}, "runs at nan frames a second"),
        ({"frames": 9}, r"has 4 frames in its header, 9 in POINT:FRAMES"),
        ({"scale": 0.0}, "with scale -?0"),
    ],
)
def test_refused_with_value_and_limit(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=message):
        read_c3d(write(tmp_path, **changes))


def patched(at, data):
    whole = c3d_bytes()
    return whole[:at] + data + whole[at + len(data) :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no C3D file"),
        (patched(1, b"\x51"), r"is no C3D file \(\d+ bytes, key 51, expected 50\)"),
        (patched(0, b"\xff"), "has its parameters in block 255, beyond its"),
        (patched(0, b"\0"), "has its parameters in block 0"),
        (patched(2, struct.pack("<H", 2000)), "of 2000 markers"),
        (patched(6, struct.pack("<HH", 9, 3)), "has -5 frames"),
        (patched(6, struct.pack("<HH", 1, 65535)), "has 65535 frames or more, which its header cannot count"),
        (patched(16, struct.pack("<H", 900)), "needs 416 bytes from 460288 for 4 frames .* it is cut off"),
        (patched(16, struct.pack("<H", 1)), "needs 416 bytes from 0"),
        (c3d_bytes()[:-1], "needs 416 bytes .*: it is cut off"),
        (patched(516, b"\x7f"), "has parameters that run past their 512 bytes|has no POINT"),
    ],
)
def test_damaged_files_are_refused(tmp_path, data, message):
    (tmp_path / "a.c3d").write_bytes(data)
    with pytest.raises(MotionFileError, match=message):
        read_c3d(tmp_path / "a.c3d")


def test_markers_that_are_not_finite_are_refused(tmp_path):
    whole = c3d_bytes(analog=0)
    size = FRAMES * len(LABELS) * 16
    first = len(whole) - size
    (tmp_path / "a.c3d").write_bytes(whole[:first] + struct.pack("<f", float("nan")) + whole[first + 4 :])
    with pytest.raises(MotionFileError, match="marker 'LFHD' is not finite in frame 0"):
        read_c3d(tmp_path / "a.c3d")


def test_every_cut_and_every_flipped_byte_is_refused_or_read(tmp_path):
    path = tmp_path / "a.c3d"
    whole = c3d_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(MotionFileError):
            read_c3d(path)
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xA5]) + whole[at + 1 :])
        try:
            read_c3d(path)
        except MotionFileError:
            continue


def test_size_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(c3d, "MAX_C3D_BYTES", 100)
    with pytest.raises(MotionFileError, match="is larger than 100 bytes"):
        read_c3d(write(tmp_path))
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_c3d(tmp_path / "nothing.c3d")
