"""A picture of what music finds: its five seconds on top, below them the dances as poses over the same time.

Source: figure 12 of the supplement of SoulDance (Li et al., 2025). Not for: choosing the dances (``retrieve``), how a
dancer is drawn (``figure_drawing``).

Letters: T frames, F music columns, J joints, B beats.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.features.extrapolate import read_clock
from soulstream_engine.features.layout import COLUMNS
from soulstream_engine.motion.representation import decode_joints
from soulstream_training.data.rendering import SURE
from soulstream_training.data.report_blocks import STYLE, num_clips, shorten
from soulstream_training.data.report_figures import TEAL
from soulstream_training.evaluation.figure_drawing import TILT_RAD, figure_points, pose_lines, project
from soulstream_training.evaluation.mmr_latents import WINDOW_FRAMES
from soulstream_training.evaluation.retrieve import WINDOW_S, Dance, Query

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NUM_POSES = 10

_WIDTH_IN = 12.0
_LABEL_M, _CELL_M, _EDGE_M = 3.0, 1.4, 0.1
_WIDTH_M = _LABEL_M + NUM_POSES * _CELL_M + _EDGE_M
_SECOND_M = NUM_POSES * _CELL_M / WINDOW_S
"""Width of a second."""

_TIMES_M, _MUSIC_M, _TITLE_M, _FOOT_M = 0.35, 1.1, 0.55, 0.3
"""Heights of: the seconds above the music, the music, the words above dances, what is under the middle of a floor."""

_LOWEST_M, _HIGHEST_M = 1.6, 2.3
"""Room above the floor that a row has at least and at most."""

_BEAT, _LOUD, _TEXT, _BAND = "#a63a50", "#c9d3da", "#4a5763", "#f7f8f9"
_TITLE_LETTERS, _NAME_LETTERS = 20, 30


def beat_times(rows: F32) -> F64:
    """When the beats fall, by the beat clock where it is sure.

    Args:
        rows: [T, F] feature rows.

    Returns:
        [B] seconds from row 0 on, increasing.
    """
    phase, _, confidence = read_clock(rows)
    turns = np.maximum.accumulate(np.unwrap(phase, period=1.0))  # a clock that is set back does not beat twice
    whole = np.arange(np.ceil(turns[0]), np.floor(turns[-1]) + 1.0)
    frames = np.interp(whole, turns, np.arange(len(rows)))
    return frames[confidence[frames.round().astype(int)] > SURE] / FPS


def retrieval_picture(
    name: str, query: Query, best: Sequence[Dance], worst: Sequence[Dance], num_dances: int
) -> Figure:
    """Draws music and dances.

    Args:
        name: Of the piece.
        query: Its five seconds.
        best: Dances in the order of their ranks, at least one.
        worst: The same; may be empty.
        num_dances: How many clips there were to choose from.

    Returns:
        The figure: time goes to the right, the lines from top to bottom are the beats of the music.
    """
    sections = [(f"The best of {num_clips(num_dances)}", best)]
    if worst:
        sections.append(("The worst", worst))
    poses = {dance.rank: _poses(dance.rows) for dance in (*best, *worst)}
    heights = {rank: _room(joints) + _FOOT_M for rank, joints in poses.items()}
    height_m = _TIMES_M + _MUSIC_M + len(sections) * _TITLE_M + sum(heights.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _WIDTH_IN * height_m / _WIDTH_M))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0.0, _WIDTH_M), ylim=(0.0, height_m))
        axes.set_axis_off()
        up = height_m - _TIMES_M - _MUSIC_M
        _draw_music(axes, name, query, up)
        beats = _LABEL_M + _SECOND_M * beat_times(query.rows)
        axes.vlines(beats, 0.0, up + _MUSIC_M, colors=_BEAT, linewidths=0.8, alpha=0.55, zorder=0.5)
        for title, dances in sections:
            up -= _TITLE_M
            axes.text(0.15, up + 0.14, title, size=10, weight="bold", color=_TEXT)
            axes.hlines(up, 0.0, _WIDTH_M, colors=_LOUD, linewidths=0.8)
            for number, dance in enumerate(dances):
                up -= heights[dance.rank]
                if number % 2:
                    axes.axhspan(up, up + heights[dance.rank], color=_BAND, linewidth=0.0, zorder=-1)
                _draw_dance(axes, dance, poses[dance.rank], up)
    return figure


def _poses(rows: F32) -> F64:
    """Joints [NUM_POSES, J, 3] in the middle of each cell, metres, the pelvis over the origin."""
    frames = ((np.arange(NUM_POSES) + 0.5) * WINDOW_FRAMES / NUM_POSES).astype(int)
    joints = decode_joints(rows)[0][frames].astype(np.float64)
    return joints - joints[:, :1] * [1.0, 0.0, 1.0]


def _room(joints: F64) -> float:
    """Metres of paper above the floor that poses need."""
    top = float(project(figure_points(joints))[0][..., 1].max()) + 0.12
    return min(max(top, _LOWEST_M), _HIGHEST_M)


def _draw_music(axes: Axes, name: str, query: Query, bottom: float) -> None:
    """Loudness as a pale hill, onsets as a line on it, seconds of the piece above."""
    x = _LABEL_M + _SECOND_M * np.arange(len(query.rows)) / FPS
    level, onset = (query.rows[:, COLUMNS[column]][:, 0].astype(np.float64) for column in ("level", "onset"))
    tall = 0.9 * _MUSIC_M
    axes.fill_between(x, bottom, bottom + tall * (level + 3.0) / 5.0, color=_LOUD, linewidth=0.0, zorder=0)
    axes.plot(x, bottom + tall * np.clip(onset / 2.5, 0.0, 1.0), color=TEAL, linewidth=1.2, zorder=1)
    for second in range(round(WINDOW_S) + 1):
        side = {0: "left", round(WINDOW_S): "right"}.get(second, "center")
        words = f"{query.start_s + second:.1f} s"
        axes.text(_LABEL_M + _SECOND_M * second, bottom + _MUSIC_M + 0.1, words, size=8, ha=side, color=_TEXT)
    axes.text(0.15, bottom + 0.72, shorten(name, _TITLE_LETTERS), size=10, weight="bold")
    for up, words, color in ((0.47, "onsets", TEAL), (0.27, "loudness", "#8a98a3"), (0.07, "beats", _BEAT)):
        axes.text(0.15, bottom + up, words, size=8, color=color)


def _draw_dance(axes: Axes, dance: Dance, joints: F64, bottom: float) -> None:
    """What it is, and its poses."""
    middle = bottom + 0.5 * (_room(joints) + _FOOT_M)
    style = shorten(dance.entry.style, _TITLE_LETTERS - len(str(dance.rank)))
    axes.text(0.15, middle, f"{dance.rank}  {style}", size=10, weight="bold", va="bottom")
    below = f"score {dance.score:.2f}\n{shorten(dance.entry.clip_id, _NAME_LETTERS)}\nfrom {dance.start_s:.1f} s"
    axes.text(0.15, middle - 0.06, below, size=7.5, va="top", color=_TEXT)
    for number, pose in enumerate(joints):
        at = (_LABEL_M + (number + 0.5) * _CELL_M, bottom + _FOOT_M)
        disc = Ellipse(at, 1.2, 1.2 * np.sin(TILT_RAD), facecolor="#e8ecef", edgecolor="none", zorder=0)
        axes.add_patch(disc)
        axes.add_collection(pose_lines(pose, at, _WIDTH_IN * 72.0 / _WIDTH_M))
