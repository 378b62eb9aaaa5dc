"""The contact sheet: a few poses of every style as small figures on a floor.

The first pose of a style is the one closest to its mean, each further one the most unlike those before it, so that a
sheet shows both what a style mostly looks like and its extremes, broken frames included. Left limbs are orange, right
ones blue; what was not captured is pale. Not for charts (``report_figures``).

Letters: T frames, P points of a figure (22 joints, chin, skull, two hands, two toe tips).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import FigureBase
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.representation import heading_rad
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_BODY_JOINTS, forward_kinematics, global_rotations
from soulstream_training.data.report_blocks import CONTENT_WIDTH_IN, Picture, num_clips, shorten
from soulstream_training.data.report_numbers import Step
from soulstream_training.data.store import Clip, ClipEntry, load_clip

F64 = NDArray[np.float64]

COLUMNS = 8
"""Figures in a row."""

MANY, FEW = 8, 4
"""Poses of a style; a style of less than ``LONG_MINUTES`` gets few, so that two share a row."""

LONG_MINUTES = 0.5
MAX_CLIPS = 6
"""Clips of a style that poses are taken from, the longest."""

FRAME_STEP = 5
MAX_CANDIDATES = 600

_CELL_M = 1.45
_WIDTH_M = COLUMNS * _CELL_M
_LABEL_M, _FOOT_M = 0.42, 0.3
"""Room for the label above the figures of a row, and under the middle of their floor."""

_LOWEST_M, _HIGHEST_M = 1.3, 2.8
"""Room above the floor that a row has at least and at most; a figure that is higher up is drawn lower."""

_TURN_RAD, _TILT_RAD = np.radians(28.0), np.radians(12.0)
_RIM_M = 0.03
_LABEL_LETTERS = 36

_TIPS: tuple[tuple[str, tuple[float, float, float]], ...] = (
    ("head", (0.0, 0.065, 0.02)),
    ("head", (0.0, 0.115, 0.02)),
    ("left_wrist", (0.15, 0.0, 0.0)),
    ("right_wrist", (-0.15, 0.0, 0.0)),
    ("left_foot", (0.0, 0.0, 0.06)),
    ("right_foot", (0.0, 0.0, 0.06)),
)
"""Joint and offset in its own frame, metres, of the points that end a figure (ours)."""

_CHIN, _SKULL, _LEFT_HAND, _RIGHT_HAND, _LEFT_TOES, _RIGHT_TOES = (NUM_BODY_JOINTS + n for n in range(len(_TIPS)))
_TRUNK, _LEFT, _RIGHT, _PALE = "#3b4854", "#dd7a34", "#3d62a8", "#c9d0d6"

_Limb = tuple[int, int, float]
"""First and last point, and width in metres."""


def _parts() -> list[tuple[str, list[_Limb]]]:
    """Parts of a figure that are drawn as one: colour and limbs (ours)."""
    at = JOINT_INDEX
    trunk = [(at["pelvis"], at["spine1"], 0.21), (at["spine1"], at["spine2"], 0.21), (at["spine2"], at["spine3"], 0.22)]
    trunk += [(at["left_hip"], at["right_hip"], 0.16), (at["spine3"], at["neck"], 0.16)]
    head = [(at["neck"], at["head"], 0.08), (at["head"], _CHIN, 0.08), (_CHIN, _SKULL, 0.175)]
    parts = [(_TRUNK, trunk), (_TRUNK, head)]
    sides = (("left", _LEFT, _LEFT_HAND, _LEFT_TOES), ("right", _RIGHT, _RIGHT_HAND, _RIGHT_TOES))
    for side, color, hand, toes in sides:
        names = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
        shoulder, elbow, wrist, hip, knee, ankle, foot = (at[f"{side}_{name}"] for name in names)
        trunk.append((at["spine3"], shoulder, 0.13))
        parts.append((color, [(shoulder, elbow, 0.095), (elbow, wrist, 0.078), (wrist, hand, 0.07)]))
        parts.append((color, [(hip, knee, 0.145), (knee, ankle, 0.105), (ankle, foot, 0.08), (foot, toes, 0.07)]))
    return parts


_PARTS = _parts()
_LIMBS = [limb for _, limbs in _PARTS for limb in limbs]


@dataclass(frozen=True, slots=True)
class Poses:
    """Poses of a style: ``points_m`` [n, P, 3] facing +Z over the origin, metres; ``captured`` [n, P]."""

    label: str
    points_m: F64
    captured: NDArray[np.bool_]


def collect_poses(store_dir: Path, entries: Sequence[ClipEntry], on_step: Step | None = None) -> list[Poses]:
    """Poses of every style.

    Args:
        store_dir: Motion store.
        entries: Its clips.
        on_step: Told after every style.

    Returns:
        Styles in the order of their minutes, those without clean motion left out.

    Raises:
        ConfigError: If a clip does not fit the index.
        BundleError: If a clip's archive is broken.
    """
    styles: dict[str, list[ClipEntry]] = {}
    for entry in entries:
        styles.setdefault(entry.style, []).append(entry)
    order = sorted(styles.items(), key=lambda item: (-sum(e.num_clean_frames for e in item[1]), item[0]))
    found = []
    for number, (style, members) in enumerate(order):
        minutes = sum(entry.num_clean_frames for entry in members) / 1800.0
        longest = sorted(members, key=lambda entry: (-entry.num_clean_frames, entry.clip_id))[:MAX_CLIPS]
        parts = [figure_points(load_clip(store_dir, entry)) for entry in longest if entry.num_clean_frames]
        if parts:
            points = np.concatenate([part for part, _ in parts])
            captured = np.concatenate([np.repeat(mask[None], len(part), axis=0) for part, mask in parts])
            chosen = most_unlike(points, MANY if minutes >= LONG_MINUTES else FEW)
            label = f"{shorten(style, _LABEL_LETTERS)}  ·  {num_clips(len(members))}, {minutes:.1f} min"
            found.append(Poses(label, points[chosen], captured[chosen]))
        if on_step is not None:
            on_step("Choosing poses", number + 1, len(order))
    return found


def figure_points(clip: Clip) -> tuple[F64, NDArray[np.bool_]]:
    """Points of a clip's figure in some of its clean frames.

    Args:
        clip: A clip.

    Returns:
        [T, P, 3] metres, the pelvis over the origin and the dancer facing +Z, at most ``MAX_CANDIDATES / MAX_CLIPS``
        frames; and [P] whether a point was captured.
    """
    frames = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b, FRAME_STEP) for a, b in clip.segments.tolist())])
    keep = MAX_CANDIDATES // MAX_CLIPS
    if len(frames) > keep:
        frames = frames[np.linspace(0, len(frames) - 1, keep).astype(np.int64)]
    root, local = clip.root_m[frames], clip.joint_wxyz[frames]
    joints = np.asarray(forward_kinematics(root, local), dtype=np.float64)
    world = global_rotations(local)
    tips = [
        joints[:, JOINT_INDEX[name]] + rotations.rotate(world[:, JOINT_INDEX[name]], np.array(offset))
        for name, offset in _TIPS
    ]
    points = np.concatenate([joints, np.stack(tips, axis=1)], axis=1)
    points[..., [0, 2]] -= points[:, :1, [0, 2]]
    back = rotations.yaw(-heading_rad(joints, sigma_frames=0.0))
    body = clip.captured[:NUM_BODY_JOINTS]
    captured = np.concatenate([body, [body[JOINT_INDEX[name]] for name, _ in _TIPS]])
    return np.asarray(rotations.rotate(back[:, None], points), dtype=np.float64), captured


def most_unlike(points_m: F64, count: int) -> NDArray[np.int64]:
    """Picks poses that differ.

    Args:
        points_m: [T, P, 3] metres.
        count: Poses wanted.

    Returns:
        At most ``count`` different frames: the one closest to the mean, then always the one farthest from all before.
    """
    flat = points_m.reshape(len(points_m), -1)
    chosen = [int(np.argmin(np.linalg.norm(flat - flat.mean(axis=0), axis=-1)))]
    distance = np.linalg.norm(flat - flat[chosen[0]], axis=-1)
    while len(chosen) < min(count, len(flat)) and distance.max() > 0.0:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(flat - flat[chosen[-1]], axis=-1))
    return np.array(chosen, dtype=np.int64)


def contact_sheet(styles: Sequence[Poses]) -> list[Picture]:
    """The sheet of all styles.

    Args:
        styles: Poses of every style, in the order they are drawn.

    Returns:
        A picture a row, as high as its highest figure needs; short rows share one.
    """
    rows: list[list[Poses]] = []
    room = 0
    for poses in styles:
        wide = MANY if len(poses.points_m) > FEW else FEW
        if wide > room:
            rows.append([])
            room = COLUMNS
        rows[-1].append(poses)
        room -= wide
    return [_row(row) for row in rows]


def _row(row: Sequence[Poses]) -> Picture:
    highest = max(float(_project(poses.points_m)[0][..., 1].max()) for poses in row) + 0.1
    height = min(max(highest, _LOWEST_M), _HIGHEST_M) + _LABEL_M + _FOOT_M
    points_per_m = CONTENT_WIDTH_IN * 72.0 / _WIDTH_M

    def draw(figure: FigureBase) -> None:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0.0, _WIDTH_M), ylim=(0.0, height))
        axes.set_axis_off()
        for place, poses in enumerate(row):
            left = place * FEW * _CELL_M
            axes.text(left + 0.05, height - 0.25, poses.label, size=7.5, weight="bold", va="baseline")
            for column, (points, captured) in enumerate(zip(poses.points_m, poses.captured, strict=True)):
                middle = (left + (column + 0.5) * _CELL_M, _FOOT_M)
                floor = Ellipse(middle, 1.35, 1.35 * np.sin(_TILT_RAD), facecolor="#eef1f3", edgecolor="none", zorder=0)
                axes.add_patch(floor)
                for collection in _figure(points, captured, middle, points_per_m):
                    axes.add_collection(collection, autolim=False)

    names = " and ".join(poses.label.split("  ")[0] for poses in row)
    return Picture(draw, height * CONTENT_WIDTH_IN / _WIDTH_M, f"Poses of {names}", is_dense=True)


def _figure(
    points_m: F64, captured: NDArray[np.bool_], middle: tuple[float, float], points_per_m: float
) -> list[LineCollection]:
    """Shadow and parts of a figure, the far ones first, each with a white rim that sets it off from those behind."""
    flat, depth = _project(points_m)
    ground, _ = _project(points_m * [1.0, 0.0, 1.0])
    too_high = max(0.0, float(flat[:, 1].max()) + 0.1 - _HIGHEST_M)
    across = middle[0] - (flat[:, 0].min() + flat[:, 0].max()) / 2.0
    flat += [across, middle[1] - too_high]
    ground += [across, middle[1]]
    shadow = LineCollection(
        [ground[[a, b]] for a, b, _ in _LIMBS],
        linewidths=[width * points_per_m for *_, width in _LIMBS],
        colors="#d9dfe4",
        capstyle="round",
        zorder=1,
    )
    lines, widths, colors = [], [], []
    for color, limbs in sorted(_PARTS, key=lambda part: np.mean([depth[[a, b]] for a, b, _ in part[1]])):
        for rim in (_RIM_M, 0.0):
            lines += [flat[[a, b]] for a, b, _ in limbs]
            widths += [(width + rim) * points_per_m for *_, width in limbs]
            colors += ["white" if rim else color if captured[b] else _PALE for _, b, _ in limbs]
    return [shadow, LineCollection(lines, linewidths=widths, colors=colors, capstyle="round", zorder=2)]


def _project(points_m: F64) -> tuple[F64, F64]:
    """Points [..., P, 3] seen from the side and above: [..., P, 2] metres to the right and up, [..., P] nearness."""
    x, y, z = np.moveaxis(points_m, -1, 0)
    right = x * np.cos(_TURN_RAD) + z * np.sin(_TURN_RAD)
    near = z * np.cos(_TURN_RAD) - x * np.sin(_TURN_RAD)
    up = y * np.cos(_TILT_RAD) - near * np.sin(_TILT_RAD)
    return np.stack([right, up], axis=-1), near * np.cos(_TILT_RAD) + y * np.sin(_TILT_RAD)
