"""The charts of the data report: what was counted (``report_numbers``) as pictures for page and paper.

Every function gives a ``Picture`` that is drawn later, on a figure of its own or a part of a page, so nothing here
keeps state. Not for poses (``report_poses``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from soulstream_engine.motion.skeleton import CONTACT_JOINTS, JOINT_NAMES
from soulstream_training.data.motion_quality import QualityLimits
from soulstream_training.data.music_index import MusicEntry
from soulstream_training.data.pairing import FAST_BPM, SLOW_BPM
from soulstream_training.data.report_blocks import CONTENT_WIDTH_IN, Picture, shorten
from soulstream_training.data.report_codes import CodeLevel
from soulstream_training.data.report_joints import JointRange
from soulstream_training.data.report_numbers import ClipNumbers, Tally

TEAL, ORANGE, BLUE, GREY = "#1f7a8c", "#d9772b", "#3d62a8", "#8a949e"
"""Colours that the colour-blind can tell apart and that stay apart in grey."""

CLASS_COLORS = {"A": TEAL, "B": ORANGE, "C": BLUE, "none": GREY}

MAX_BARS = 36
"""Labels of a bar chart that fit on a page; more go on in the next picture."""

_BAR_IN = 0.19
_LABEL_LETTERS = 20
_TEMPO_STEP_BPM = 5.0
P_LIMIT = 0.05
"""Largest p value with which a clip gets music."""


def bar_charts(tallies: Sequence[Tally], what: str, kinds: str) -> list[Picture]:
    """Minutes, sequences and kinds of each label, side by side.

    Args:
        tallies: Labels in the order they are drawn from the top.
        what: What the labels are, in the plural.
        kinds: What the kinds are, in the plural.

    Returns:
        Pictures of at most ``MAX_BARS`` labels each, all to the same scale.
    """
    columns: tuple[tuple[str, str, Callable[[Tally], float]], ...] = (
        ("minutes", TEAL, lambda item: item.minutes),
        ("sequences", BLUE, lambda item: item.num_clips),
        (kinds, ORANGE, lambda item: item.num_kinds),
    )
    most = [max((value(item) for item in tallies), default=1.0) or 1.0 for _, _, value in columns]
    pictures = []
    num_pictures = -(-len(tallies) // MAX_BARS)
    num_bars = -(-len(tallies) // max(num_pictures, 1))
    for start in range(0, len(tallies), max(num_bars, 1)):
        shown = tallies[start : start + num_bars]
        height = 0.55 + _BAR_IN * len(shown)

        def draw(figure: FigureBase, shown: Sequence[Tally] = shown, height: float = height) -> None:
            panels = _panels(figure, height, 3, left=1.55, top=0.35, bottom=0.2, between=0.3)
            for place, (axes, (name, color, value)) in enumerate(zip(panels, columns, strict=True)):
                values = [value(item) for item in shown]
                axes.barh(range(len(shown)), values, height=0.72, color=color)
                for row, number in enumerate(values):
                    text = f"{number:.1f}" if name == "minutes" else f"{number:.0f}"
                    axes.text(number + most[place] * 0.015, row, text, va="center", size=6.5, color="#4a5763")
                axes.set(title=name, xlim=(0.0, most[place] * 1.16), ylim=(len(shown) - 0.4, -0.6), xticks=[])
                axes.spines["bottom"].set_visible(False)
                axes.tick_params(axis="y", length=0)
                axes.set_yticks(
                    range(len(shown)), [shorten(item.name, _LABEL_LETTERS) for item in shown] if place == 0 else []
                )

        span = f" {start + 1} to {start + len(shown)} of {len(tallies)}" if len(tallies) > MAX_BARS else ""
        caption = f"Minutes of clean motion, sequences and {kinds} of the {what}{span}."
        pictures.append(Picture(draw, height, f"Bar chart of {what}: minutes, sequences, {kinds}", caption))
    return pictures


def tempo_histogram(clips: Sequence[ClipNumbers], music: Sequence[MusicEntry]) -> Picture:
    """Tempo known from the motion, and tempo of the music that was made, beats a minute."""
    danced = [float(clip.entry.tempo_bpm) for clip in clips if clip.entry.tempo_bpm]
    played = [entry.bpm for entry in music if entry.is_paired]
    whole = [SLOW_BPM, FAST_BPM, *danced, *played]
    first = np.floor(min(whole) / _TEMPO_STEP_BPM) * _TEMPO_STEP_BPM
    last = np.ceil((max(whole) + 1e-6) / _TEMPO_STEP_BPM) * _TEMPO_STEP_BPM
    edges = np.arange(first, last + _TEMPO_STEP_BPM, _TEMPO_STEP_BPM)

    def draw(figure: FigureBase) -> None:
        panels = _panels(figure, 1.95, 2, left=0.5, top=0.35, bottom=0.45, between=0.55)
        _histogram(panels[0], danced, edges, TEAL, "tempo known from the motion", "beats a minute", "clips")
        _histogram(panels[1], played, edges, ORANGE, "tempo of the music made", "beats a minute", "renderings")

    caption = f"{len(danced)} of {len(clips)} clips have a known tempo; {len(played)} renderings have music."
    return Picture(draw, 1.95, "Histograms of tempo: clips and renderings", caption)


def energy_and_contacts(clips: Sequence[ClipNumbers]) -> Picture:
    """Energy of the clips, and the share of time in which each of the four foot joints is planted."""
    energy = [clip.energy_mps for clip in clips]
    shares = np.array([clip.contact_share for clip in clips]).reshape(len(clips), len(CONTACT_JOINTS))
    weights = np.array([clip.entry.num_clean_frames for clip in clips], dtype=np.float64)
    mean = weights @ shares / weights.sum() if weights.sum() else np.zeros(len(CONTACT_JOINTS))
    names = [JOINT_NAMES[joint].replace("_", " ") for joint in CONTACT_JOINTS]

    def draw(figure: FigureBase) -> None:
        panels = _panels(figure, 1.95, 2, left=0.5, top=0.35, bottom=0.45, between=1.05)
        edges = np.linspace(0.0, max(max(energy, default=0.0), 0.1) * 1.001, 21)
        _histogram(panels[0], energy, edges, TEAL, "energy of a clip", "mean joint speed, m/s", "clips")
        axes = panels[1]
        axes.set(title="time on the floor", xlabel="% of clean frames", xlim=(0.0, 100.0), ylim=(3.6, -0.6))
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0)
        if len(clips):
            spread = 100.0 * np.percentile(shares, [10, 90], axis=0)
            axes.barh(range(len(names)), 100.0 * mean, height=0.55, color=BLUE)
            axes.hlines(range(len(names)), *spread, color="#1d2731", linewidth=1.0)
            for ends in spread:
                axes.plot(ends, range(len(names)), "|", color="#1d2731", markersize=6)

    caption = (
        "Left: mean speed of the 22 joints of the body. Right: share of the clean frames in which a joint of the feet "
        "is planted, over all frames (bars), and from the tenth to the ninetieth of a hundred clips (lines)."
    )
    return Picture(draw, 1.95, "Histogram of energy, and bars of contact shares", caption)


def joint_ranges(joints: Sequence[JointRange]) -> Picture:
    """How far each joint turns about each axis of the rest pose, degrees."""
    height = 0.75 + 0.165 * max(len(joints), 1)

    def draw(figure: FigureBase) -> None:
        (axes,) = _panels(figure, height, 1, left=1.2, top=0.35, bottom=0.45, between=0.0)
        axes.axvline(0.0, color="#c9d0d6", linewidth=0.8, zorder=0.5)
        for row in range(0, len(joints), 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#f4f6f7", linewidth=0.0, zorder=0)
        parts = zip(("about X, to the left", "about Y, up", "about Z, to the front"), (TEAL, ORANGE, BLUE), strict=True)
        for axis, (name, color) in enumerate(parts):
            rows = np.arange(len(joints)) + (axis - 1) * 0.27
            low, middle, high = (
                [getattr(joint, field)[axis] for joint in joints] for field in ("low_deg", "middle_deg", "high_deg")
            )
            axes.hlines(rows, low, high, color=color, linewidth=2.2, label=name)
            seen = [(x, y) for x, y, a, b in zip(middle, rows, low, high, strict=True) if b - a > 1.0]
            axes.plot([x for x, _ in seen], [y for _, y in seen], "o", color="white", markersize=1.5)
        axes.set_yticks(range(len(joints)), [joint.name.replace("_", " ") for joint in joints])
        axes.set(xlabel="degrees against the parent", ylim=(max(len(joints), 1) - 0.5, -0.5))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e3e7ea", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="upper right", ncols=3, frameon=False, fontsize=7.5, title_fontsize=7.5, handlelength=1.2)

    caption = (
        "Percentiles 1 to 99 of the turn of each joint about the axes of the rest pose, a gap at the middle. In the "
        "rest pose the arms point to the sides: arms go up and down about Z and back and forth about Y, legs back and "
        "forth about X."
    )
    return Picture(draw, height, "Range chart of joint rotations about three axes", caption)


def p_values(music: Sequence[MusicEntry]) -> Picture:
    """How the p values of the pairing are distributed, by pairing class; class ``real`` has none."""
    paired = [entry for entry in music if entry.is_paired and entry.pairing_class != "real"]
    kinds = sorted({entry.pairing_class for entry in paired})

    def draw(figure: FigureBase) -> None:
        panels = _panels(figure, 2.3, 2, left=0.5, top=0.35, bottom=0.45, between=0.55)
        for axes, name, title in zip(
            panels, ("shift_p", "refit_p"), ("against shifted grids", "against made-up clips"), strict=True
        ):
            most = max([getattr(entry, name) for entry in paired], default=1.0)
            right = max(most * 1.05, P_LIMIT * 1.3)
            axes.axvline(P_LIMIT, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
            for place, kind in enumerate(kinds):
                values = np.sort([getattr(entry, name) for entry in paired if entry.pairing_class == kind])
                share = 100.0 * np.arange(1, len(values) + 1) / len(values)
                axes.step(
                    [0.0, *values, right],
                    [0.0, *share, 100.0],
                    where="post",
                    color=CLASS_COLORS.get(kind, GREY),
                    linewidth=max(3.2 - 1.6 * place, 0.8),
                    label=f"class {kind}",
                )
            axes.set(title=title, xlabel=f"p ({name})", ylabel="% of renderings", xlim=(0.0, right), ylim=(0.0, 101.0))
        if kinds:
            panels[1].legend(loc="lower right", frameon=False, fontsize=7.5)

    caption = (
        f"Share of the renderings whose p value is at most so large; dashed: {P_LIMIT:g}. Left: share of shifted beat "
        f"grids that fit as well; over {P_LIMIT:g} a clip gets no music. Right: share of made-up clips with like "
        "intervals that can be bent onto the grid as well, a far stricter question that decides nothing."
    )
    return Picture(draw, 2.3, "Distribution of p values by pairing class", caption)


def quality_histograms(clips: Sequence[ClipNumbers]) -> Picture:
    """The four quality numbers of the clips, each with the limit over which a clip is left out by default."""
    limits = QualityLimits()
    entries = [clip.entry for clip in clips if clip.entry.num_clean_frames]
    columns = (
        ("foot slide", "m/s", [entry.foot_slide_mps for entry in entries], limits.foot_slide_mps),
        ("jitter", "m/s³", [entry.jitter_mps3 for entry in entries], limits.jitter_mps3),
        ("beyond limits", "% of frames", [100 * e.limit_share for e in entries], 100 * limits.limit_share),
        ("under the floor", "cm", [100 * e.floor_penetration_m for e in entries], 100 * limits.floor_penetration_m),
    )

    def draw(figure: FigureBase) -> None:
        panels = _panels(figure, 2.0, 4, left=0.45, top=0.35, bottom=0.45, between=0.3)
        for place, (axes, (title, unit, values, limit)) in enumerate(zip(panels, columns, strict=True)):
            top = max([limit, *values]) * 1.05
            _histogram(axes, values, np.linspace(0.0, top, 22), TEAL, title, unit, "" if place else "clips")
            axes.axvline(limit, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
            axes.xaxis.set_major_locator(MaxNLocator(4))

    caption = "Quality of the clips. Dashed: the limit over which a clip is left out unless the recipe says otherwise."
    return Picture(draw, 2.0, "Histograms of foot slide, jitter, limits and floor penetration", caption)


def code_usage(levels: Sequence[CodeLevel]) -> Picture:
    """Perplexity and used codes of each level, and how evenly the codes are used."""
    parts = list(dict.fromkeys(level.part for level in levels))
    most = max((level.num_codes for level in levels), default=1)
    place = np.arange(len(levels))
    names = [f"{level.part} {level.level}" for level in levels]
    is_long = len(names) > 6

    def draw(figure: FigureBase) -> None:
        panels = _panels(figure, 2.4, 2, left=0.5, top=0.35, bottom=0.65 if is_long else 0.45, between=0.55)
        panels[0].bar(place - 0.2, [level.num_used for level in levels], 0.38, color=GREY, label="used")
        panels[0].bar(place + 0.2, [level.perplexity for level in levels], 0.38, color=TEAL, label="perplexity")
        panels[0].set_xticks(place, names, rotation=45 if is_long else 0, ha="right" if is_long else "center")
        panels[0].axhline(most, color=ORANGE, linewidth=0.9, linestyle=(0, (4, 3)))
        panels[0].set(title="codes of each level", ylabel="codes", ylim=(0.0, most * 1.3))
        panels[0].legend(loc="upper right", ncols=2, frameon=False, fontsize=7)
        for level, name in zip(levels, names, strict=True):
            reached = 100.0 * np.cumsum(level.shares)
            color = (TEAL, ORANGE, BLUE)[parts.index(level.part) % 3]
            shade = max(1.0 - 0.15 * level.level, 0.25)
            panels[1].plot(range(1, len(reached) + 1), reached, color=color, alpha=shade, linewidth=1.3, label=name)
        panels[1].plot([1, most], [100.0 / most, 100.0], color="#1d2731", linewidth=0.8, linestyle=(0, (4, 3)))
        panels[1].set(title="most used codes together", xlabel="codes", ylabel="% of tokens", ylim=(0.0, 101.0))
        panels[1].legend(loc="lower right", ncols=max(len(parts), 1), frameon=False, fontsize=7, labelspacing=0.2)

    caption = (
        "Left: codes that occur and perplexity (as many codes, used alike, would carry as much); dashed: codes there "
        "are. Right: share of the tokens that the most used codes make up, a line a level; dashed: all used alike."
    )
    return Picture(draw, 2.4, "Usage and perplexity of the codes of each level", caption)


def _panels(
    figure: FigureBase, height: float, count: int, *, left: float, top: float, bottom: float, between: float
) -> list[Axes]:
    """Axes beside each other, with margins in inches; the right one is an eighth of an inch."""
    width = (CONTENT_WIDTH_IN - left - 0.125 - between * (count - 1)) / count
    grid = figure.add_gridspec(
        1,
        count,
        left=left / CONTENT_WIDTH_IN,
        right=1.0 - 0.125 / CONTENT_WIDTH_IN,
        top=1.0 - top / height,
        bottom=bottom / height,
        wspace=between / width,
    )
    return [figure.add_subplot(grid[0, column]) for column in range(count)]


def _histogram(
    axes: Axes, values: Iterable[float], edges: Iterable[float], color: str, title: str, unit: str, what: str
) -> None:
    shown = list(values)
    axes.hist(shown, bins=list(edges), color=color, edgecolor="white", linewidth=0.5)
    axes.set(title=title, xlabel=unit, ylabel=what)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if not shown:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=GREY)
