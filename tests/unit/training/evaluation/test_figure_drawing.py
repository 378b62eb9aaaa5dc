from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    NUM_BODY_JOINTS,
    PARENTS,
    PELVIS_REST_HEIGHT_M,
    forward_kinematics,
)
from soulstream_training.data import programs
from soulstream_training.evaluation.figure_drawing import (
    LEFT,
    PANEL_PX,
    RIGHT,
    figure_parts,
    figure_points,
    film_frames,
    png_of,
    pose_lines,
    project,
    write_video,
)

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
WIDTH, HEIGHT = PANEL_PX


def standing(num_joints: int = 52, frames: int = 1, x: float = 0.0) -> np.ndarray:
    """Somebody at rest [T, J, 3], who moves sideways by x a frame."""
    pose = np.zeros((frames, num_joints, 4))
    pose[..., 0] = 1.0
    root = np.zeros((frames, 3))
    root[:, 0], root[:, 1] = x * np.arange(frames), PELVIS_REST_HEIGHT_M
    return forward_kinematics(root, pose)


@pytest.mark.parametrize(("num_joints", "num_points"), [(22, 28), (52, 66)])
def test_every_point_of_a_figure_is_drawn(num_joints: int, num_points: int) -> None:
    points = figure_points(standing(num_joints)[0])
    assert points.shape == (num_points, 3)
    drawn = {point for _, limbs in figure_parts(num_joints) for a, b, _ in limbs for point in (a, b)}
    assert drawn | {JOINT_INDEX["left_collar"], JOINT_INDEX["right_collar"]} == set(range(num_points))


@pytest.mark.parametrize("num_joints", [22, 52])
def test_limbs_have_the_colour_of_their_side(num_joints: int) -> None:
    points = figure_points(standing(num_joints)[0])
    for color, limbs in figure_parts(num_joints):
        x = np.mean([points[b, 0] for _, b, _ in limbs])
        assert color not in (LEFT, RIGHT) or (color == LEFT) == (x > 0)


def test_a_figure_goes_on_after_its_joints() -> None:
    points = figure_points(standing()[0])
    chin, skull, left_toes, right_toes = points[52:56]
    assert skull[1] > chin[1] > points[JOINT_INDEX["head"], 1]
    assert left_toes[1] == pytest.approx(points[JOINT_INDEX["left_foot"], 1])
    assert left_toes[2] == right_toes[2] > points[JOINT_INDEX["left_foot"], 2]
    last = [joint for joint in range(NUM_BODY_JOINTS, 52) if joint not in PARENTS]
    assert np.allclose(np.linalg.norm(points[56:] - points[last], axis=-1), 0.022)


def test_other_numbers_of_joints_are_refused() -> None:
    with pytest.raises(ValueError, match="22 or 52 joints, not 24"):
        figure_points(np.zeros((24, 3)))


def test_collapsed_bones_are_no_trouble() -> None:
    assert np.isfinite(figure_points(np.zeros((52, 3)))).all()


def test_up_is_up_and_near_is_near() -> None:
    flat, depth = project(np.array([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]))
    assert flat[1, 1] > 0.9 and flat[1, 0] == 0
    assert flat[2, 0] > 0.8
    assert depth[3] > depth[0] > depth[2]


def test_a_shade_is_of_one_colour_and_behind() -> None:
    pose = pose_lines(standing()[0], (1.0, 0.0), 50.0)
    shade = pose_lines(standing()[0], (1.0, 0.0), 50.0, is_shade=True)
    assert len(np.unique(shade.get_edgecolor(), axis=0)) == 1
    assert len(np.unique(pose.get_edgecolor(), axis=0)) == 4  # trunk, left, right, rim
    assert shade.get_zorder() < pose.get_zorder()


def test_all_are_seen_by_one_camera_that_follows_the_first() -> None:
    truth = standing(52, 40, x=0.05)
    systems = {"a": truth, "b": truth, "c": truth + np.array([0.3, 0.0, 0.0])}
    first, last = film_frames(systems, only=[0, 39])
    assert first.shape == (HEIGHT, 3 * WIDTH, 3)
    body = slice(40, None)  # below the name
    for picture in (first, last):
        panels = [picture[body, n * WIDTH + 2 : (n + 1) * WIDTH - 2] for n in range(3)]
        assert np.array_equal(panels[0], panels[1])
        assert _middle(panels[2]) > _middle(panels[0]) + 20
        assert abs(_middle(panels[0]) - WIDTH / 2) < 60


def _middle(panel: np.ndarray) -> float:
    """Mean column of the dark pixels of the trunk."""
    return float(np.nonzero(panel.astype(int).sum(-1) < 250)[1].mean())


def test_a_film_shows_who_is_who() -> None:
    one = next(film_frames({"hrvq": standing()}))
    other = next(film_frames({"vq512": standing()}))
    assert not np.array_equal(one[:36], other[:36])
    assert np.array_equal(one[36:], other[36:])


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (6, 3, 2), (7, 4, 2)])
def test_more_than_three_stand_in_two_rows(count: int, columns: int, rows: int) -> None:
    picture = next(film_frames({str(n): standing(22) for n in range(count)}))
    assert picture.shape == (rows * HEIGHT, columns * WIDTH, 3)


@pytest.mark.parametrize("lengths", [(), (3, 4), (0, 0)])
def test_dancers_must_be_of_one_length(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="of one length, not"):
        next(film_frames({str(n): np.zeros((length, 22, 3)) for n, length in enumerate(lengths)}))


def test_few_colours_are_kept_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (20, 31, 3), dtype=np.uint8) * 100
    assert np.array_equal(_read(png_of(pixels)), pixels)


def test_many_colours_become_256_near_ones() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    pixels[:50] = 255
    pixels[51] = [255, 0, 0]
    read = _read(png_of(pixels))
    assert len(np.unique(read.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(read[50:].astype(int) - pixels[50:]).mean() < 16
    assert (read[:50] == 255).all() and (read[51] == [255, 0, 0]).all()
    assert png_of(pixels) == png_of(pixels)


def _read(content: bytes) -> np.ndarray:
    return np.round(imread(io.BytesIO(content), format="png")[..., :3] * 255).astype(np.uint8)


@needs_ffmpeg
def test_a_film_plays_in_browsers(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    systems = {"truth": standing(52, 12, x=0.02), "hrvq": standing(22, 12)}
    write_video(path, systems)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (2 * WIDTH, HEIGHT)
    assert (stream["nb_read_frames"], stream["r_frame_rate"]) == ("12", "30/1")
    content = path.read_bytes()
    assert _boxes(content)[:2] == ["ftyp", "moov"]  # plays before all of it is there
    write_video(path, systems)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["film.mp4"]


def _boxes(content: bytes) -> list[str]:
    names, at = [], 0
    while at < len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        names.append(name.decode())
        at += size
    return names


@needs_ffmpeg
def test_colours_come_through(tmp_path: Path) -> None:
    path, systems = tmp_path / "film.mp4", {"truth": standing(52, 3)}
    write_video(path, systems)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]
    shown = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    drawn = np.stack(list(film_frames(systems))).reshape(-1)
    assert np.abs(shown.astype(int) - drawn).mean() < 3.0


def test_without_ffmpeg_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="ffmpeg, which encodes the films, is not installed") as caught:
        write_video(tmp_path / "film.mp4", {"truth": standing()})
    assert caught.value.code == "FFMPEG_MISSING"
    assert caught.value.hint == "Install it: apt-get install ffmpeg"


def test_what_ffmpeg_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho Unknown encoder libx264 >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs.shutil, "which", lambda name: str(program))
    film = tmp_path / "film.mp4"
    film.write_bytes(b"the old one")
    with pytest.raises(ConfigError, match=r"film\.mp4: Unknown encoder libx264") as caught:
        write_video(film, {"truth": standing(52, 5)})
    assert caught.value.code == "VIDEO_FAILED"
    assert film.read_bytes() == b"the old one"
    assert sorted(os.listdir(tmp_path)) == ["ffmpeg", "film.mp4"]
