"""A dancer drawn from joint positions alone: poses on a chart, and short films of dancers side by side.

Positions and nothing else, because a tokenizer may bend bones and that is to be seen. Left limbs are orange, right ones
blue, as on the contact sheet of the data report (``data.report_poses``). A film is drawn with matplotlib's rasteriser
without its charts, which are too slow, and encoded by the program ffmpeg. Not for: choosing motion or saying how good
it is (``tokenizer_figures``).

Letters: T frames, J joints (22 of the body, or 52 with hands), P points of a figure (its joints, then their ends).
"""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.representation import heading_rad
from soulstream_engine.motion.skeleton import JOINT_INDEX, JOINT_NAMES, NUM_BODY_JOINTS, NUM_JOINTS, PARENTS
from soulstream_training.data.programs import find_program

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

TRUNK, LEFT, RIGHT, SHADOW = "#3b4854", "#dd7a34", "#3d62a8", "#d9dfe4"
"""Colours of a figure and of its shadow."""

TURN_RAD, TILT_RAD = np.radians(28.0), np.radians(12.0)
"""Where figures are seen from: so far to the side, and from above."""

_RIM_M = 0.025
_CHIN_M, _SKULL_M, _TOES_M, _PALM_M, _TIP_M = 0.065, 0.115, 0.06, 0.15, 0.022
"""How far a figure goes on after head (chin and skull), foot, wrist (of a body alone) and last finger joint (ours)."""

_Limb = tuple[int, int, float]
"""First and last point, and width in metres."""

PANEL_PX = (320, 336)
"""Size of a dancer's picture in a film, pixels, both even."""

ONE_ROW = 3
"""Dancers that stand in a single row; more of them stand in two."""

_VIEW_M = 2.5
"""Width of the floor that a picture shows."""

_FLOOR_PX = 84
"""Height of the point under the dancer above the lower edge of the picture."""

_GRID_M, _GRID_REACH_M = 0.5, 2.25
_CAMERA_SIGMA_S = 0.5
_LABEL_PX = 15.0
_FILM_TILT_RAD = np.radians(16.0)

_MOST_FREQUENT = 160
"""Colours of a picture that are kept because there is so much of them."""

QUALITY = "23"
"""Constant quality of x264 (lower is better and larger). Source: ours; 8 s of six dancers are 0.7 to 1.1 MB."""

MAX_KBIT_S = 1300
"""Most that a film may take over a second, so that 8 s stay under 1.5 MB whatever is danced."""


def figure_points(joints_m: ArrayLike) -> F64:
    """Points of a figure.

    Args:
        joints_m: [..., J, 3] metres, J = 22 or 52.

    Returns:
        [..., P, 3]: the joints, chin, skull, left and right toes, then the ends of the hands: one a hand, or one a
        finger.

    Raises:
        ValueError: If J is neither.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    level = np.array([1.0, 0.0, 1.0])
    ends = []
    for joint, parent, length_m, is_level in _ends(joints.shape[-2]):
        along = (joints[..., joint, :] - joints[..., parent, :]) * (level if is_level else 1.0)
        along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
        ends.append(joints[..., joint, :] + length_m * along)
    return np.concatenate([joints, np.stack(ends, axis=-2)], axis=-2)


def _ends(num_joints: int) -> list[tuple[int, int, float, bool]]:
    """Joint, where its last bone begins, how far the figure goes on, and whether level with the floor."""
    at = JOINT_INDEX
    if num_joints not in (NUM_BODY_JOINTS, NUM_JOINTS):
        raise ValueError(f"a figure has {NUM_BODY_JOINTS} or {NUM_JOINTS} joints, not {num_joints}")
    ends = [(at["head"], at["neck"], _CHIN_M, False), (at["head"], at["neck"], _SKULL_M, False)]
    ends += [(at[f"{side}_foot"], at[f"{side}_ankle"], _TOES_M, True) for side in ("left", "right")]
    if num_joints == NUM_BODY_JOINTS:
        return ends + [(at[f"{side}_wrist"], at[f"{side}_elbow"], _PALM_M, False) for side in ("left", "right")]
    last = [joint for joint in range(NUM_BODY_JOINTS, NUM_JOINTS) if JOINT_NAMES[joint].endswith("3")]
    return ends + [(joint, int(PARENTS[joint]), _TIP_M, False) for joint in last]


def figure_parts(num_joints: int) -> list[tuple[str, list[_Limb]]]:
    """Parts of a figure that are drawn as one: colour and limbs."""
    at = JOINT_INDEX
    chin, skull, *toes = range(num_joints, num_joints + 4)
    trunk = [(at["pelvis"], at["spine1"], 0.21), (at["spine1"], at["spine2"], 0.21), (at["spine2"], at["spine3"], 0.22)]
    trunk += [(at["left_hip"], at["right_hip"], 0.16), (at["spine3"], at["neck"], 0.16)]
    head = [(at["neck"], at["head"], 0.08), (at["head"], chin, 0.08), (chin, skull, 0.175)]
    parts = [(TRUNK, trunk), (TRUNK, head)]
    for number, (side, color) in enumerate((("left", LEFT), ("right", RIGHT))):
        names = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
        shoulder, elbow, wrist, hip, knee, ankle, foot = (at[f"{side}_{name}"] for name in names)
        trunk.append((at["spine3"], shoulder, 0.13))
        arm = [(shoulder, elbow, 0.095), (elbow, wrist, 0.07), *_hand(num_joints, number, wrist)]
        leg = [(hip, knee, 0.145), (knee, ankle, 0.105), (ankle, foot, 0.08), (foot, toes[number], 0.07)]
        parts += [(color, arm), (color, leg)]
    return parts


def _hand(num_joints: int, number: int, wrist: int) -> list[_Limb]:
    """Limbs of the left (0) or right (1) hand: a mitten, or five fingers on a palm."""
    if num_joints == NUM_BODY_JOINTS:
        return [(wrist, num_joints + 4 + number, 0.07)]
    limbs = []
    for finger in range(5):
        first = NUM_BODY_JOINTS + 15 * number + 3 * finger
        tip = num_joints + 4 + 5 * number + finger
        limbs += [(wrist, first, 0.036), (first, first + 1, 0.02), (first + 1, first + 2, 0.02)]
        limbs.append((first + 2, tip, 0.02))
    return limbs


def project(points_m: F64, turn_rad: float = TURN_RAD, tilt_rad: float = TILT_RAD) -> tuple[F64, F64]:
    """Points [..., 3] seen from the side and above: [..., 2] metres to the right and up, and [...] nearness."""
    x, y, z = np.moveaxis(points_m, -1, 0)
    right = x * np.cos(turn_rad) + z * np.sin(turn_rad)
    near = z * np.cos(turn_rad) - x * np.sin(turn_rad)
    up = y * np.cos(tilt_rad) - near * np.sin(tilt_rad)
    return np.stack([right, up], axis=-1), near * np.cos(tilt_rad) + y * np.sin(tilt_rad)


def _strokes(flat: F64, depth: F64, parts: Sequence[tuple[str, list[_Limb]]]) -> Iterator[tuple[F64, float, str]]:
    """Lines [n, 2, 2] of a figure with width and colour, far parts first, each with a rim that sets it off."""
    for color, limbs in sorted(parts, key=lambda part: float(np.mean([depth[[a, b]] for a, b, _ in part[1]]))):
        for rim in (_RIM_M, 0.0):
            for width, ends in _by_width(limbs):
                yield flat[ends], width + rim, "white" if rim else color


def _by_width(limbs: Sequence[_Limb]) -> list[tuple[float, list[list[int]]]]:
    """Points of the limbs of each width."""
    found: dict[float, list[list[int]]] = {}
    for a, b, width in limbs:
        found.setdefault(width, []).append([a, b])
    return list(found.items())


def pose_lines(
    joints_m: ArrayLike, middle: tuple[float, float], points_per_m: float, *, is_shade: bool = False
) -> LineCollection:
    """A pose on axes whose unit is the metre.

    Args:
        joints_m: [J, 3] metres, the dancer facing +Z, floor at 0.
        middle: Where the origin of the floor is drawn.
        points_per_m: Width of a metre on paper, points.
        is_shade: In one pale colour, to be seen behind another pose.

    Returns:
        What to add to the axes.
    """
    points = figure_points(joints_m)
    flat, depth = project(points)
    flat = flat + middle
    parts = figure_parts(np.shape(joints_m)[0])
    if is_shade:
        strokes = [(flat[ends], width, SHADOW) for _, limbs in parts for width, ends in _by_width(limbs)]
    else:
        strokes = list(_strokes(flat, depth, parts))
    return LineCollection(
        [line for lines, _, _ in strokes for line in lines],
        linewidths=[width * points_per_m for lines, width, _ in strokes for _ in lines],
        colors=[color for lines, _, color in strokes for _ in lines],
        capstyle="round",
        zorder=1 if is_shade else 2,
    )


def film_frames(
    systems: Mapping[str, NDArray[np.floating]], fps: float = FPS, only: Sequence[int] | None = None
) -> Iterator[U8]:
    """Pictures of a film, one after another.

    Args:
        systems: What to write above each dancer, and its joints [T, J, 3] in the world, metres; the camera faces and
            follows the first one, and is the same for all.
        fps: Frames a second.
        only: The frames wanted; ``None`` is all of them.

    Yields:
        [H, W, 3] uint8, H and W even.

    Raises:
        ValueError: If there is nobody, or they are not of one length.
    """
    lengths = {name: len(joints) for name, joints in systems.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise ValueError(f"a film needs dancers of one length, not {lengths}")
    first = np.asarray(next(iter(systems.values())), dtype=np.float64)
    heading = heading_rad(first, sigma_frames=0.0)
    back = rotations.yaw(-np.angle(np.exp(1j * heading).mean()))
    path = gaussian_filter1d(first[:, 0] * [1.0, 0.0, 1.0], _CAMERA_SIGMA_S * fps, axis=0, mode="nearest")
    target = np.asarray(rotations.rotate(back, path), dtype=np.float64)
    dancers = [
        (name, np.asarray(rotations.rotate(back, figure_points(joints)), np.float64), figure_parts(joints.shape[1]))
        for name, joints in systems.items()
    ]
    columns = len(dancers) if len(dancers) <= ONE_ROW else -(-len(dancers) // 2)
    rows = -(-len(dancers) // columns)
    width, height = PANEL_PX
    for frame in range(len(first)) if only is None else only:
        canvas = _Canvas(columns * width, rows * height)
        for number, (name, points, parts) in enumerate(dancers):
            row, column = divmod(number, columns)
            canvas.panel(column * width, (rows - 1 - row) * height)
            canvas.dancer(name, points[frame], target[frame], parts)
        yield canvas.pixels()


class _Canvas:
    """One picture of a film; one point is one pixel, y goes up."""

    def __init__(self, width: int, height: int) -> None:
        self._renderer = RendererAgg(width, height, 72)
        self._gc = self._renderer.new_gc()
        self._gc.set_capstyle("round")
        self._same = IdentityTransform()
        self._left = self._bottom = 0.0
        self._height = height
        box = np.array([[0, 0], [width, 0], [width, height], [0, height], [0, 0]], np.float64)
        self._gc.set_linewidth(0.0)
        self._renderer.draw_path(self._gc, Outline(box), self._same, (1.0, 1.0, 1.0, 1.0))

    def panel(self, left: float, bottom: float) -> None:
        """What follows goes into the panel with this corner."""
        self._left, self._bottom = left, bottom
        self._gc.set_clip_rectangle(Bbox.from_bounds(left + 1, bottom + 1, PANEL_PX[0] - 2, PANEL_PX[1] - 2))  # type: ignore[arg-type]

    def dancer(self, name: str, points_m: F64, target_m: F64, parts: Sequence[tuple[str, list[_Limb]]]) -> None:
        """Floor, shadow, figure and name."""
        scale = PANEL_PX[0] / _VIEW_M
        origin = np.array([self._left + PANEL_PX[0] / 2, self._bottom + _FLOOR_PX])

        def to_pixels(at_m: F64) -> tuple[F64, F64]:
            flat, depth = project(at_m - target_m, TURN_RAD, _FILM_TILT_RAD)
            return flat * scale + origin, depth

        for lines, color in _grid(target_m):
            self._lines(to_pixels(lines)[0], 1.0, color)
        ground, _ = to_pixels(points_m * [1.0, 0.0, 1.0])
        shadow = [limb for _, limbs in parts for limb in limbs if limb[2] > 0.05]  # fingers cast none
        for width, ends in _by_width(shadow):
            self._lines(ground[ends], width * scale, SHADOW)
        for lines, width, color in _strokes(*to_pixels(points_m), parts):
            self._lines(lines, width * scale, color)
        self._gc.set_foreground("#1d2731")
        words = FontProperties(family="DejaVu Sans", size=_LABEL_PX, weight="bold")
        top = self._height - self._bottom - PANEL_PX[1] + 10 + _LABEL_PX
        self._renderer.draw_text(self._gc, self._left + 12, top, name, words, 0.0)

    def _lines(self, ends: F64, width: float, color: str) -> None:
        self._gc.set_foreground(color)
        self._gc.set_linewidth(width)
        codes = np.tile(np.array([Outline.MOVETO, Outline.LINETO], np.uint8), len(ends))
        self._renderer.draw_path(self._gc, Outline(ends.reshape(-1, 2), codes), self._same)

    def pixels(self) -> U8:
        return np.asarray(self._renderer.buffer_rgba(), dtype=np.uint8)[..., :3].copy()


def _grid(target_m: F64) -> Iterator[tuple[F64, str]]:
    """Lines [n, 2, 3] of the floor around a place, paler towards the rim, with their colour."""
    lines: dict[str, list[F64]] = {}
    for axis, across in ((0, 2), (2, 0)):
        first = int(np.ceil((target_m[axis] - _GRID_REACH_M) / _GRID_M))
        last = int(np.floor((target_m[axis] + _GRID_REACH_M) / _GRID_M))
        for number in range(first, last + 1):
            ends = np.zeros((2, 3))
            ends[:, axis] = number * _GRID_M
            ends[:, across] = target_m[across] + np.array([-_GRID_REACH_M, _GRID_REACH_M])
            far = abs(number * _GRID_M - target_m[axis]) / _GRID_REACH_M
            grey = round(214 + 38 * float(far))
            lines.setdefault(f"#{grey:02x}{grey + 1:02x}{grey + 2:02x}", []).append(ends)
    for color, found in lines.items():
        yield np.stack(found), color


def png_of(pixels: U8) -> bytes:
    """A picture as a small PNG of at most 256 colours; the same picture gives the same bytes.

    Args:
        pixels: [H, W, 3] uint8.

    Returns:
        Content of the file.
    """
    height, width = pixels.shape[:2]
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    rgb = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=-1).astype(np.int32)
    palette, nearest = _palette(rgb, counts)
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = nearest[places].reshape(height, width)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _palette(rgb: NDArray[np.int32], counts: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """At most 256 of the colours [n, 3], the most frequent and then the farthest from all before, and the nearest."""
    chosen = np.argsort(-counts, kind="stable")[:_MOST_FREQUENT].tolist()
    distance = np.full(len(rgb), np.iinfo(np.int64).max)
    nearest = np.zeros(len(rgb), np.intp)
    for place in range(256):
        if place >= len(chosen):
            chosen.append(int(np.argmax(distance)))
        other = ((rgb - rgb[chosen[place]]) ** 2).sum(axis=-1)
        nearest[other < distance] = place
        distance = np.minimum(distance, other)
        if not distance.any():
            break
    return rgb[chosen[: place + 1]], nearest


def find_encoder() -> str:
    """Path of ffmpeg.

    Returns:
        The path.

    Raises:
        ConfigError: If it is not installed; names the Debian package.
    """
    return find_program("ffmpeg", "which encodes the films", code="FFMPEG", packages="ffmpeg")


def write_video(path: Path, systems: Mapping[str, NDArray[np.floating]], fps: float = FPS) -> None:
    """Writes a film of dancers side by side: mp4, H.264, yuv420p, which every browser plays.

    Args:
        path: The file; replaced whole or not at all.
        systems: As ``film_frames`` takes them.
        fps: Frames a second.

    Raises:
        ConfigError: If ffmpeg is missing or fails.
        ValueError: If there is nobody, or they are not of one length.
    """
    encoder = find_encoder()
    pictures = film_frames(systems, fps)
    first = next(pictures)
    height, width = first.shape[:2]
    partial = path.with_name(f"{path.name}.partial")
    command = [encoder, "-y", "-nostdin", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "pipe:", "-an", "-c:v", "libx264"]
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p", "-colorspace", "bt709"]
    command += [
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-preset",
        "veryfast",
        "-crf",
        QUALITY,
        "-threads",
        "1",
    ]
    command += ["-maxrate", f"{MAX_KBIT_S}k", "-bufsize", f"{MAX_KBIT_S}k", "-movflags", "+faststart"]
    command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-f", "mp4", str(partial)]
    try:
        with TemporaryFile() as said:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)  # noqa: S603 - our own arguments
            try:
                _feed(process, first, pictures)
            finally:
                process.wait()
            if process.returncode:
                said.seek(0)
                words = said.read().decode("utf-8", "replace").strip()[-300:]
                hint = "It must have been built with libx264, as Debian's is: apt-get install --reinstall ffmpeg"
                raise ConfigError("VIDEO_FAILED", f"ffmpeg could not encode {path}: {words}", hint)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _feed(process: subprocess.Popen[bytes], first: U8, pictures: Iterator[U8]) -> None:
    """Hands the pictures over; stops when nobody takes them any more."""
    assert process.stdin is not None  # noqa: S101 - asked for
    try:
        with process.stdin as pipe:
            pipe.write(first.tobytes())
            for picture in pictures:
                pipe.write(picture.tobytes())
    except BrokenPipeError:
        pass  # ffmpeg has ended and says why
