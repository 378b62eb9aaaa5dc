"""Charts that set tokenizers beside the truth: poses, heights, codes and levels.

Each takes motion rows or counts by the name of a system, the truth first, and gives a figure of matplotlib that is the
same for the same input. Errors are those of ``tokenizer_metrics``. Not for: drawing a dancer (``figure_drawing``), the
page that shows the charts (``tokenizer_figures``).

Letters: T rows, D columns, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.representation import decode_joints
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_BODY_JOINTS
from soulstream_training.data.report_blocks import STYLE
from soulstream_training.data.report_codes import CodeLevel
from soulstream_training.data.report_figures import BLUE, ORANGE, TEAL
from soulstream_training.evaluation.figure_drawing import TILT_RAD, figure_points, png_of, pose_lines, project
from soulstream_training.evaluation.tokenizer_metrics import Losses, add_losses, joint_positions
from soulstream_training.evaluation.tokenizer_table import measure
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.recipes.motion_rows import Stretch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NUM_POSES = 8
DPI = 110.0

_PALE, _TEXT = "#c3cad0", "#4a5763"
_COLORS = (TEAL, ORANGE, BLUE, "#8a4f9e", "#a63a50", "#5b6b2f")
_DASHES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 1)), "-")
_MARKS = "osD^vP"
_HEAT = LinearSegmentedColormap.from_list("heat", ["#e6eff1", "#8fc1cb", TEAL, "#0f3a45"])
_MAX_LEVELS_SHOWN = 6


def losses_of(truth: F32, made: F32) -> Losses:
    """What a reconstruction [T, D] loses, frame by frame (``tokenizer_metrics``); nothing, if it is the truth."""
    losses = Losses()
    add_losses(losses, made, truth)
    return losses


def _standing(rows: F32) -> F64:
    """Joints [T, J, 3] as ``joint_positions`` gives them, the pelvis at its height above the floor, metres."""
    joints = joint_positions(rows)
    joints[..., 1] += rows[:, 3:4]
    return joints


def png_bytes(figure: Figure, dpi: float = DPI) -> bytes:
    """A figure as a PNG; the same figure gives the same bytes."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        canvas.draw()
    return png_of(np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3])


def reconstruction_strip(systems: Mapping[str, F32], fps: float = FPS, num_poses: int = NUM_POSES) -> Figure:
    """Poses over time, a row a system, the truth on top and pale behind each of the others.

    Args:
        systems: Motion rows [T, D] by name, the truth first.
        fps: Frames a second.
        num_poses: Poses in a row, evenly over time.

    Returns:
        The figure: errors of all frames stand beside a row, those of a pose under it.
    """
    names, rows = list(systems), list(systems.values())
    frames = np.linspace(0, len(rows[0]) - 1, num_poses).round().astype(int)
    joints = [_standing(part)[frames] for part in rows]
    cell_m, label_m, head_m, foot_m, width_in = 1.45, 1.7, 0.25, 0.4, 11.0
    top = max(float(project(figure_points(part))[0][..., 1].max()) for part in joints) + 0.12
    row_m = min(max(top, 1.6), 2.3) + foot_m
    width_m, height_m = label_m + num_poses * cell_m, head_m + row_m * len(names)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width_in, width_in * height_m / width_m))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0.0, width_m), ylim=(0.0, height_m))
        axes.set_axis_off()
        points_per_m = width_in * 72.0 / width_m
        for number, name in enumerate(names):
            bottom = height_m - head_m - (number + 1) * row_m
            floor = bottom + foot_m
            if number % 2:
                axes.axhspan(bottom, bottom + row_m, color="#f7f8f9", linewidth=0.0, zorder=-1)
            losses = losses_of(rows[0], rows[number])
            errors = {part: values for part in ("body", "hands") if (values := getattr(losses, part))}
            axes.text(0.12, bottom + row_m * 0.58, name, size=12, weight="bold")
            lines = [f"{part} {np.mean(error):.1f} mm" for part, error in errors.items()]
            axes.text(0.12, bottom + row_m * 0.58 - 0.1, "\n".join(lines), size=9, va="top", color=_TEXT)
            for column, frame in enumerate(frames):
                middle = (label_m + (column + 0.5) * cell_m, floor)
                disc = Ellipse(middle, 1.3, 1.3 * np.sin(TILT_RAD), facecolor="#eceff1", edgecolor="none", zorder=0)
                axes.add_patch(disc)
                if number:
                    axes.add_collection(pose_lines(joints[0][column], middle, points_per_m, is_shade=True))
                    under = f"{errors['body'][frame]:.0f} mm"
                else:
                    axes.text(middle[0], height_m - 0.06, f"{frame / fps:.1f} s", size=9, ha="center", va="top")
                    under = ""
                axes.add_collection(pose_lines(joints[number][column], middle, points_per_m))
                axes.text(middle[0], bottom + 0.07, under, size=8, ha="center", color=_TEXT)
    return figure


def vertical_trajectory(systems: Mapping[str, F32], fps: float = FPS) -> Figure:
    """Height of pelvis, a wrist and an ankle over time, and the mean speed, beside those of the truth.

    Args:
        systems: Motion rows [T, D] by name, the truth first.
        fps: Frames a second.

    Returns:
        The figure: a column a system, the truth pale behind it.
    """
    truth, *others = [(name, rows, _standing(rows), _speed(rows, fps)) for name, rows in systems.items()]
    joints = ["pelvis"]
    for part in ("wrist", "ankle"):
        sides = (f"left_{part}", f"right_{part}")
        joints.append(max(sides, key=lambda name: float(truth[2][:, JOINT_INDEX[name], 1].std())))
    time = np.arange(len(truth[1])) / fps
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 6.4))
        grid = figure.subplots(4, max(len(others), 1), sharex=True, sharey="row", squeeze=False)
        figure.subplots_adjust(left=0.065, right=0.99, top=0.935, bottom=0.075, wspace=0.08, hspace=0.2)
        for column, (name, rows, made, speed) in enumerate(others):
            color = _COLORS[column % len(_COLORS)]
            for row, joint in enumerate(joints):
                real, other = (100.0 * values[:, JOINT_INDEX[joint], 1] for values in (truth[2], made))
                _over_time(grid[row, column], time, real, other, color)
                _note(grid[row, column], f"{np.abs(real - other).mean():.1f} cm off")
            _over_time(grid[3, column], time[: len(speed)], truth[3], speed, color)
            losses = losses_of(truth[1], rows)
            jerk = sum(losses.jerk) / max(sum(losses.true_jerk), 1e-9)
            _note(grid[3, column], f"jerk {jerk:.2f} times the truth's")
            grid[0, column].set_title(name, size=11)
            grid[3, column].set_xlabel("seconds")
        for row, what in enumerate([*(f"{joint.replace('_', ' ')}, cm" for joint in joints), "mean speed, m/s"]):
            grid[row, 0].set(ylabel=what, ylim=_limits(grid[row]))
    return figure


def _speed(rows: F32, fps: float) -> F64:
    """Mean speed [T - 1] of the 22 joints in the world, m/s."""
    world = decode_joints(rows)[0][:, :NUM_BODY_JOINTS].astype(np.float64)
    return np.asarray(fps * np.linalg.norm(np.diff(world, axis=0), axis=-1).mean(axis=1))


def _over_time(axes: Axes, time: F64, truth: F64, made: F64, color: str) -> None:
    axes.plot(time, truth, color=_PALE, linewidth=3.2, solid_capstyle="round")
    axes.plot(time, made, color=color, linewidth=1.1)
    axes.margins(x=0.0)
    axes.grid(axis="y", color="#edf0f2", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _limits(panels: Sequence[Axes]) -> tuple[float, float]:
    """Limits of a row of panels: all lines, with room for a note, but no more than three times the truth's range."""
    truth = np.asarray(panels[0].lines[0].get_ydata(), dtype=np.float64)
    lines = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for axes in panels for line in axes.lines])
    reach = max(float(np.ptp(truth)), 0.1)
    low = max(float(lines.min()), float(truth.min()) - reach)
    high = min(float(lines.max()), float(truth.max()) + reach)
    return low - 0.05 * (high - low), high + 0.3 * (high - low)


def _note(axes: Axes, words: str) -> None:
    """Words in the upper left corner."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
    axes.text(0.02, 0.96, words, transform=axes.transAxes, va="top", size=8, color=_TEXT, bbox=box)


def usage_heat_map(usage: Mapping[str, Sequence[CodeLevel]]) -> Figure:
    """How the codes of every level are used, the most used to the left, on a logarithmic scale.

    Args:
        usage: Levels by system, part by part, each of a system with as many codes.

    Returns:
        The figure: a panel a system with a row for each part and level, and beside it the perplexity and the share of
        codes that occur.
    """
    row_in, gap_in, top_in, bottom_in = 0.19, 0.75, 0.42, 0.8
    columns: list[list[str]] = [[], []]
    filled = [0.0, 0.0]
    for name in sorted(usage, key=lambda name: -len(usage[name])):
        place = int(filled[1] < filled[0])
        columns[place].append(name)
        filled[place] += row_in * len(usage[name]) + gap_in
    height = max(filled) - gap_in + top_in + bottom_in
    width, panel_in, lefts = 11.0, 3.55, (0.75, 6.3)
    most = max(level.shares[0] for levels in usage.values() for level in levels)
    norm = LogNorm(1e-4, max(most, 2e-4))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for left, names in zip(lefts, columns, strict=True):
            up = height - top_in
            for name in names:
                tall = row_in * len(usage[name])
                axes = figure.add_axes((left / width, (up - tall) / height, panel_in / width, tall / height))
                _usage_panel(axes, name, usage[name], norm)
                up -= tall + gap_in
        bar = figure.add_axes((lefts[0] / width, 0.3 / height, panel_in / width, 0.1 / height))
        scale = figure.colorbar(ScalarMappable(norm, _HEAT), cax=bar, orientation="horizontal")
        scale.outline.set_visible(False)  # type: ignore[operator]
        bar.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        bar.xaxis.set_minor_locator(NullLocator())
        figure.text(4.45 / width, 0.31 / height, "of the tokens (white: never)", size=7.5, va="bottom", color=_TEXT)
    return figure


def _usage_panel(axes: Axes, name: str, levels: Sequence[CodeLevel], norm: LogNorm) -> None:
    shares = np.array([level.shares for level in levels])
    num_rows, num_codes = shares.shape
    axes.imshow(
        np.ma.masked_equal(shares, 0.0), cmap=_HEAT, norm=norm, aspect="auto", interpolation="nearest",
        extent=(0.0, num_codes, num_rows, 0.0),
    )  # fmt: skip
    axes.set_title(f"{name}   {levels[0].num_tokens:,} tokens".replace(",", " "), size=9.5)
    axes.set_yticks(np.arange(num_rows) + 0.5, [f"{level.part} {level.level + 1}" for level in levels], size=7)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(FixedLocator([0, num_codes // 4, num_codes // 2, 3 * num_codes // 4, num_codes]))
    beside = axes.get_yaxis_transform()
    for row, level in enumerate(levels):
        if row and level.part != levels[row - 1].part:
            axes.axhline(row, color="white", linewidth=2.0)
        for at, words in ((1.11, f"{level.perplexity:.0f}"), (1.23, f"{100 * level.num_used / num_codes:.0f} %")):
            axes.text(at, row + 0.5, words, transform=beside, size=7, ha="right", va="center")
    for at, words in ((1.11, "perpl."), (1.23, "used")):
        axes.text(at, -0.25, words, transform=beside, size=7, ha="right", color=_TEXT)


@dataclass(frozen=True, slots=True)
class LevelErrors:
    """Errors in millimetres with the first ``levels`` [n] of a tokenizer, by part, and bits of a level a second."""

    levels: tuple[int, ...]
    errors_mm: Mapping[str, tuple[float, ...]]
    bits_per_level: float


def level_errors(model: Hrvq, stretches: Sequence[Stretch]) -> LevelErrors:
    """Errors of body and hands over many stretches, weighted by frames; beyond six levels every third is tried."""
    last = model.config.levels
    levels = [n for n in range(1, last + 1) if n <= _MAX_LEVELS_SHOWN or n % 3 == 0 or n == last]
    found = [measure(model, stretches, levels=used) for used in levels]
    parts = [part for part in found[0] if part in ("body", "hands")]
    errors = {part: tuple(numbers[part] for numbers in found) for part in parts}
    return LevelErrors(tuple(levels), errors, model.config.bits_per_second / last)


def level_curve(curves: Mapping[str, LevelErrors]) -> Figure:
    """Error against the number of levels, and against the bits a second that they take.

    Args:
        curves: Errors by system.

    Returns:
        The figure: a row for body and one for hands, if any system has them.
    """
    parts = list(dict.fromkeys(part for curve in curves.values() for part in curve.errors_mm))
    height = 0.55 + 2.6 * len(parts)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, height))
        grid = figure.subplots(len(parts), 2, sharex="col", sharey="row", squeeze=False)
        figure.subplots_adjust(
            left=0.07, right=0.86, top=1.0 - 0.3 / height, bottom=0.5 / height, wspace=0.06, hspace=0.12
        )
        for number, (name, curve) in enumerate(curves.items()):
            look = number % len(_COLORS)
            for row, part in enumerate(parts):
                if part not in curve.errors_mm:
                    continue
                for axes, scale in zip(grid[row], (1.0, curve.bits_per_level), strict=True):
                    axes.plot(
                        scale * np.array(curve.levels), curve.errors_mm[part], color=_COLORS[look], label=name,
                        linestyle=_DASHES[look], marker=_MARKS[look], markersize=4.5, linewidth=1.5,
                    )  # fmt: skip
        for row, part in enumerate(parts):
            grid[row, 0].set_ylabel(f"{part}, mm")
            for axes in grid[row]:
                axes.grid(color="#edf0f2", linewidth=0.6)
                axes.set_axisbelow(True)
                axes.set_ylim(0.0, 1.08 * max(max(c.errors_mm.get(part, (0.0,))) for c in curves.values()))
        grid[0, 0].set_title("by levels")
        grid[0, 1].set_title("by bits a second")
        grid[-1, 0].set_xlabel("levels")
        grid[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
        grid[-1, 1].set_xlabel("bits a second")
        handles = {name: line for line, name in zip(*grid[0, 1].get_legend_handles_labels(), strict=True)}
        figure.legend(list(handles.values()), list(handles), loc="center right", frameon=False, fontsize=9)
    return figure
