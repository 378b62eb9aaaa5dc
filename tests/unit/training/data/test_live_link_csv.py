"""Face recordings: what is read, what is bridged, and what is refused with its line."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.live_link_csv import read_live_link

ANGLES = tuple(f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))
PASCAL = tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES)
HEADER = ("Timecode", "BlendshapeCount", *PASCAL, *ANGLES)


def code(frame: float, base: int = 60, start_s: int = 13 * 3600 + 59 * 60 + 58) -> str:
    whole, part = divmod(frame, base)
    second = (start_s + int(whole)) % 86400
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}:{part:06.3f}"


def row(timecode: str, jaw_open: float | str = 0.25, **others: float | str) -> dict[str, float | str]:
    weights = dict.fromkeys(PASCAL, 0.0) | dict.fromkeys(ANGLES, -0.4)
    return {"Timecode": timecode, "BlendshapeCount": 61, **weights, "JawOpen": jaw_open, **others}


def write(tmp_path, rows, header=HEADER):
    path = tmp_path / "take.csv"
    lines = [",".join(header), *(",".join(str(cells[name]) for name in header) for cells in rows)]
    path.write_text("\n".join([*lines, ""]))
    return path


def ramp(frames, base=60, **more):
    return [row(code(frame, base, **more), round(frame / 1000, 3)) for frame in frames]


def test_weights_come_in_the_order_of_the_engine_at_the_rate_of_the_timecode(tmp_path):
    take = read_live_link(write(tmp_path, ramp(range(150))))
    assert take.fps == 60.0
    assert take.values.shape == (150, 52)
    np.testing.assert_array_equal(take.values[:, ARKIT_INDEX["jawOpen"]], np.arange(150) / 1000)
    assert np.count_nonzero(take.values) == 149


def test_a_whole_file_by_hand(tmp_path):
    weights = ",".join(f"{i / 100:.2f}" for i in range(52))
    path = tmp_path / "take.csv"
    head = ",".join(("Timecode", "BlendShapeCount", *PASCAL, *ANGLES))  # the capitals of other versions
    path.write_text(f"{head}\n14:03:52:28.207,61,{weights},0.1,-0.2,0,0,0,0,0,0,0\n\n")
    take = read_live_link(path, fps=30)
    assert take.fps == 30
    np.testing.assert_allclose(take.values, [np.arange(52) / 100])


def test_the_header_says_which_column_is_which(tmp_path):
    rows = [row(code(f), 0.1, JawLeft=0.2, JawRight=0.3, TongueOut=1.5, MouthClose=-0.01) for f in range(130)]
    plain = read_live_link(write(tmp_path, rows)).values
    turned = read_live_link(write(tmp_path, rows, tuple(reversed(HEADER)))).values
    without_angles = read_live_link(write(tmp_path, rows, HEADER[:54])).values
    np.testing.assert_array_equal(plain, turned)
    np.testing.assert_array_equal(plain, without_angles)
    found = plain[0, [ARKIT_INDEX[name] for name in ("jawLeft", "jawRight", "tongueOut", "mouthClose")]]
    np.testing.assert_array_equal(found, [0.2, 0.3, 1.5, -0.01])  # not clipped


@pytest.mark.parametrize(("base", "every", "fps"), [(30, 1, 30.0), (60, 2, 30.0), (24, 1, 24.0), (25, 1, 25.0)])
def test_rates(tmp_path, base, every, fps):
    take = read_live_link(write(tmp_path, ramp(range(0, 3 * base, every), base)))
    assert take.fps == fps
    assert len(take.values) == 3 * base // every


def test_midnight_and_parts_of_frames(tmp_path):
    frames = [frame + 0.1 * (frame % 3) for frame in range(150)]
    take = read_live_link(write(tmp_path, ramp(frames, start_s=86399)))
    assert take.fps == 60.0
    assert len(take.values) == 150


def test_lost_rows_and_rows_without_a_face_are_bridged(tmp_path):
    rows = [cells for frame, cells in enumerate(ramp(range(150))) if frame not in (20, 21, 22)]
    for frame in (60, 61):
        rows[frame] |= dict.fromkeys(PASCAL, "") | {"BlendshapeCount": 0}
    take = read_live_link(write(tmp_path, rows))
    np.testing.assert_allclose(take.values[:, ARKIT_INDEX["jawOpen"]], np.arange(150) / 1000, atol=1e-9)


def test_ends_without_a_face_are_cut_off(tmp_path):
    rows = ramp(range(150))
    for frame in (0, 1, 149):
        rows[frame]["BlendshapeCount"] = 0
    take = read_live_link(write(tmp_path, rows))
    np.testing.assert_allclose(take.values[:, ARKIT_INDEX["jawOpen"]], np.arange(2, 149) / 1000)


def test_missing_columns_are_named(tmp_path):
    header = tuple(name for name in HEADER if name not in ("Timecode", "JawOpen", "CheekPuff"))
    path = write(tmp_path, [row(code(0))], header)
    with pytest.raises(MotionFileError, match=r"take\.csv:1: lacks 3 columns: Timecode, jawOpen, cheekPuff\."):
        read_live_link(path)
    with pytest.raises(MotionFileError, match="lacks 2 columns: jawOpen, cheekPuff"):
        read_live_link(path, fps=60)
    with pytest.raises(MotionFileError, match="column 'jawopen' comes twice"):
        read_live_link(write(tmp_path, [row(code(0))], (*HEADER, "JawOpen")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"JawOpen": "nan"}, r"take\.csv:4: 'nan' is not a finite number"),
        ({"JawOpen": ""}, r"take\.csv:4: '' is not a finite number"),
        ({"JawOpen": 2.5}, r"take\.csv:4: jawOpen is 2\.5, -0\.01 to 2 are allowed"),
        ({"EyeBlinkLeft": -0.2}, r"take\.csv:4: eyeBlinkLeft is -0\.2"),
        ({"JawOpen": "0,0"}, r"take\.csv:4: has 64 cells, the header has 63"),
        ({"Timecode": "2.5"}, r"take\.csv:4: timecode '2\.5' is not hours:minutes:seconds:frames"),
        ({"Timecode": "24:00:00:00"}, r"take\.csv:4: timecode '24:00:00:00'"),
        ({"Timecode": code(1)}, r"take\.csv:4: the timecode does not advance"),
        ({"Timecode": code(0)}, r"take\.csv:4: the timecode does not advance"),
        ({"Timecode": "00:00:00:75"}, "frame 75 in a timecode, 60 a second are known"),
    ],
)
def test_wrong_rows_are_refused_with_line_and_value(tmp_path, change, message):
    rows = ramp(range(150))
    rows[2] |= change
    with pytest.raises(MotionFileError, match=message):
        read_live_link(write(tmp_path, rows))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (range(100), r"lasts 1\.65 s, too short to tell the frame rate"),
        (range(0, 1200, 60), r"has 1\.00 rows a second by its timecodes, no known frame rate"),
        ((*range(100), *range(131, 200)), r"take\.csv:102: no face for 0\.53 s before, 0\.5 are allowed"),
        ((), "lasts 0.00 s"),
    ],
)
def test_times_that_cannot_be_used_are_refused(tmp_path, frames, message):
    with pytest.raises(MotionFileError, match=message):
        read_live_link(write(tmp_path, ramp(frames)))


def test_a_given_rate_needs_no_timecode(tmp_path):
    take = read_live_link(write(tmp_path, [row("?", f / 100) for f in range(5)]), fps=59.94)
    assert (len(take.values), take.fps) == (5, 59.94)
    with pytest.raises(ConfigError, match="Frame rate 0 is outside 1 to 240"):
        read_live_link(tmp_path / "take.csv", fps=0)
    with pytest.raises(MotionFileError, match="has no row with a face"):
        read_live_link(write(tmp_path, [row("?", BlendshapeCount=0)]), fps=60)


def test_a_missing_and_an_empty_file(tmp_path):
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_live_link(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(MotionFileError, match="lacks 53 columns: Timecode, eyeBlinkLeft"):
        read_live_link(tmp_path / "empty.csv")
