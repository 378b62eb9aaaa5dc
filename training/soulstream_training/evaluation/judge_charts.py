"""The drawings of a judged table: bars, beats, paths and variety by system, and a film of the dancers with sound.

All take what they draw by the name of a system, in the order of the table; the panels of a chart have one scale. Not
for: what is measured (``judge``), the page (``judge_report``), a single figure (``figure_drawing``).

Letters: T frames, J joints, K beats of the motion, S stretches, D features, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_training.data.programs import run_program
from soulstream_training.data.report_blocks import STYLE, shorten
from soulstream_training.data.report_figures import GREY, TEAL

from .figure_drawing import MAX_KBIT_S, ONE_ROW, PANEL_PX, film_frames, find_encoder, png_of, write_video
from .frechet import normalised
from .intervals import Interval
from .judge import STRETCH_FRAMES
from .kinetic import kinetic_features

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WIDTH_IN = 10.0
"""Width of every chart."""

NUM_BINS = 20
"""Bins of a beat: by chance each holds a twentieth of the rests."""

MOST_DANCERS = 8
"""Dancers that can be told apart in a film: two rows of four."""

FILM_S = 20.0
FILM_BYTES = 2_900_000
"""Longest film, and its greatest size with sound (ours)."""

_SOUND_KBIT_S = 96
_COLUMNS = 4
_DARK, _PALE, _TEXT, _LINE = "#1d2731", "#c3cad0", "#4a5763", "#e6eaed"
_LABEL_LETTERS, _LETTERS = 24, 30
_OUT_OF_SCALE = 4.0  # times the median


@dataclass(frozen=True, slots=True)
class Bars:
    """A panel of bars.

    Attributes:
        title: Of the panel.
        values: Score of each system that has one.
        goal: What real dances score, drawn as a line.
        is_used: Whether the score counts; grey where it does not.
        write: From a score to the text beside its bar.
    """

    title: str
    values: Mapping[str, Interval]
    goal: float | None
    is_used: bool
    write: Callable[[Interval], str]


def interval_bars(panels: Sequence[Bars], names: Sequence[str], references: Collection[str]) -> Figure:
    """Scores and their intervals, a panel a score and a bar a system.

    Args:
        panels: One at least.
        names: Systems from the top.
        references: Those that do not compete; their bars are grey.

    Returns:
        The figure; the scores stand beside the bars, one that is off the scale goes to the edge.
    """
    num_rows = -(-len(panels) // _COLUMNS)
    panel_in, left_in, step_in = 0.21 * len(names) + 0.1, 1.85, 2.02
    height = num_rows * (panel_in + 0.65)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height))
        for number, panel in enumerate(panels):
            row, column = divmod(number, _COLUMNS)
            left, bottom = left_in + column * step_in, height - 0.35 - panel_in - row * (panel_in + 0.65)
            box = (left / WIDTH_IN, bottom / height, 1.35 / WIDTH_IN, panel_in / height)
            _bars(figure.add_axes(box), panel, names, references, has_labels=column == 0)
    return figure


def _bars(axes: Axes, panel: Bars, names: Sequence[str], references: Collection[str], has_labels: bool) -> None:
    found = [(row, name, panel.values[name]) for row, name in enumerate(names) if name in panel.values]
    highs = [score.high for _, _, score in found] + [panel.goal or 0.0]
    most = min(max(highs), _OUT_OF_SCALE * float(np.median(highs))) or max(highs) or 1.0
    low = min(0.0, *(score.low for _, _, score in found))
    for row, name, score in found:
        color = GREY if name in references or not panel.is_used else TEAL
        axes.barh(row, score.value, height=0.66, color=color, alpha=1.0 if panel.is_used else 0.45)
        axes.hlines(row, score.low, score.high, color=_DARK, linewidth=1.1)
        axes.plot([score.low, score.high], [row, row], "|", color=_DARK, markersize=5)
        words = panel.write(score) + (" →" if score.value > most else "")
        axes.text(1.03, row, words, transform=axes.get_yaxis_transform(), va="center", size=7, color=_TEXT)
    if panel.goal is not None:
        axes.axvline(panel.goal, color=_DARK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=0.5)
    axes.set_xlim(low * 1.05, most * 1.05)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_title(panel.title + ("" if panel.is_used else ", not used"), color=_DARK if panel.is_used else _TEXT)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(names)), [shorten(name, _LABEL_LETTERS) if has_labels else "" for name in names])


def offset_histograms(offsets: Mapping[str, F64], references: Collection[str]) -> Figure:
    """Histograms of where in the beat each system rests, -0.5..0.5 [K] (``judged_table.beat_offsets``)."""
    edges = np.linspace(-0.5, 0.5, NUM_BINS + 1)
    shares = {name: 100.0 * np.histogram(found, edges)[0] / max(len(found), 1) for name, found in offsets.items()}
    most = max(20.0, *(float(share.max()) for share in shares.values()))
    with matplotlib.rc_context(STYLE):
        figure, panels = _multiples(list(offsets), 1.15)
        for axes, (name, share) in zip(panels, shares.items(), strict=True):
            color = GREY if name in references else TEAL
            axes.bar(edges[:-1] + 0.5 / NUM_BINS, share, 0.92 / NUM_BINS, color=color)
            axes.axhline(100.0 / NUM_BINS, color=_DARK, linewidth=0.8, linestyle=(0, (3, 2)))
            axes.set(xlim=(-0.5, 0.5), ylim=(0.0, most * 1.12))
            axes.set_xticks([-0.5, -0.25, 0.0, 0.25, 0.5], ["\N{MINUS SIGN}½", "\N{MINUS SIGN}¼", "0", "¼", "½"])
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            words = f"{len(offsets[name])} rests"
            axes.text(0.02, 0.97, words, transform=axes.transAxes, va="top", size=7, color=_TEXT)
        _label(figure, "beats after the nearest beat of the music", "% of the rests")
    return figure


def paths_from_above(dancers: Mapping[str, NDArray[np.floating]], references: Collection[str] = ()) -> Figure:
    """Paths of the pelvis on the floor, a panel a system, the audience below.

    Args:
        dancers: Joints [T, J, 3] by system, metres.
        references: Those that do not compete.

    Returns:
        The figure: every path stands in the middle of its panel, on squares. One that is much longer than most begins
        there and is cut off.
    """
    paths = {name: np.asarray(joints, dtype=np.float64)[:, 0, [0, 2]] for name, joints in dancers.items()}
    spans = {name: np.ptp(path, axis=0) for name, path in paths.items()}
    sizes = [float(span.max()) for span in spans.values()]
    reach = 0.55 * max(min(max(sizes), _OUT_OF_SCALE / 2.0 * float(np.median(sizes))), 1.0)
    square_m = 0.5 if reach < 2.0 else 1.0
    with matplotlib.rc_context(STYLE):
        figure, panels = _multiples(list(dancers), 1.95)
        for axes, (name, path) in zip(panels, paths.items(), strict=True):
            x, z = path.T
            axes.plot(x, z, color=GREY if name in references else TEAL, linewidth=1.2, solid_joinstyle="round")
            axes.plot(x[0], z[0], "o", color="white", markeredgecolor=_DARK, markersize=5)
            axes.plot(x[-1], z[-1], "o", color=_DARK, markersize=5)
            middle = path[0] if max(spans[name]) > 2.0 * reach else (path.min(axis=0) + path.max(axis=0)) / 2.0
            axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] + reach, middle[1] - reach))
            axes.set_aspect("equal", adjustable="box", anchor="W")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MultipleLocator(square_m))
                axis.set_ticklabels([])
            axes.tick_params(length=0)
            axes.grid(color=_LINE, linewidth=0.8)
            axes.spines[["left", "bottom"]].set_visible(False)
            words = f"{spans[name][0]:.1f} m wide, {spans[name][1]:.1f} m deep"
            axes.set_xlabel(words + (" (cut off)" if max(spans[name]) > 2.0 * reach else ""), size=7.5, loc="left")
        _label(figure, f"squares of {square_m:g} m", "")
    return figure


def stretch_features(joints_m: NDArray[np.floating]) -> list[F64]:
    """Kinetic features [D] of each five seconds of joints [T, J, 3]; of all of it where it is shorter."""
    starts = range(0, max(len(joints_m) - STRETCH_FRAMES, 0) + 1, STRETCH_FRAMES)
    return [kinetic_features(joints_m[start : start + STRETCH_FRAMES]) for start in starts]


def variety(features: Mapping[str, NDArray[np.floating]], real: Collection[str], references: Collection[str]) -> Figure:
    """Dances of each system among real ones, in the plane in which real dances differ most.

    Args:
        features: [S, D] by system, S at least 1.
        real: Systems that are real dances; where they have fewer than three stretches, all systems span the plane.
        references: Systems that do not compete.

    Returns:
        The figure: a panel a system, real dances pale behind. Within the frame, as wide as they are, the scale is even;
        from there to the next multiple of ten it takes as far again.
    """
    among = [name for name in features if name in real]
    if sum(len(features[name]) for name in among) < 3:
        among = list(features)
    truth = np.concatenate([features[name] for name in among])
    _, sizes, directions = np.linalg.svd(normalised(truth, truth)[1], full_matrices=False)
    shares = 100.0 * sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-12)
    flat = {name: normalised(truth, found)[1] @ directions[:2].T for name, found in features.items()}
    half = np.maximum(np.abs(np.concatenate([flat[name] for name in among])).max(axis=0), 1e-6)
    flat = {name: _compressed(points / half) for name, points in flat.items()}
    most = 1.1 * max(float(np.abs(points).max()) for points in flat.values())
    with matplotlib.rc_context(STYLE):
        figure, panels = _multiples(list(features), 1.95)
        for axes, (name, points) in zip(panels, flat.items(), strict=True):
            axes.add_patch(Rectangle((-1.0, -1.0), 2.0, 2.0, facecolor="none", edgecolor=_PALE, linewidth=0.8))
            for other in among:
                axes.plot(*flat[other].T, ".", color=_PALE, markersize=4, markeredgewidth=0.0)
            color = _DARK if name in references else TEAL
            axes.plot(*points.T, ".", color=color, markersize=5, markeredgewidth=0.0, alpha=0.8)
            axes.set(xlim=(-most, most), ylim=(-most, most), xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="box", anchor="W")
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.set_xlabel(f"{len(points)} stretches", size=7.5, loc="left")
        _label(figure, *(f"{share:.0f} % of the variance of real dances" for share in shares))
    return figure


def _compressed(values: F64) -> F64:
    """Values as they are within -1..1, and by the logarithm of ten beyond."""
    size = np.abs(values)
    return np.sign(values) * np.where(size > 1.0, 1.0 + np.log10(np.maximum(size, 1.0)), size)


def _multiples(names: Sequence[str], panel_in: float) -> tuple[Figure, list[Axes]]:
    """A figure with a titled panel a name, and the panels."""
    num_rows = -(-len(names) // _COLUMNS)
    step_in = panel_in + 0.55
    height = num_rows * step_in + 0.2
    figure = Figure(figsize=(WIDTH_IN, height))
    panels = []
    for number, name in enumerate(names):
        row, column = divmod(number, _COLUMNS)
        left, bottom = 0.55 + 2.38 * column, height - 0.3 - panel_in - row * step_in
        axes = figure.add_axes((left / WIDTH_IN, bottom / height, 2.1 / WIDTH_IN, panel_in / height))
        axes.set_title(shorten(name, _LETTERS), size=8.5)
        panels.append(axes)
    return figure, panels


def _label(figure: Figure, below: str, beside: str) -> None:
    """What the axes of all panels are."""
    figure.supxlabel(below, x=0.055, y=0.05 / figure.get_figheight(), ha="left", va="bottom", size=8)
    figure.supylabel(beside, x=0.008, ha="left", size=8)


def film_still(dancers: Mapping[str, NDArray[np.floating]], frame: int) -> bytes:
    """A picture of ``write_film`` as a PNG."""
    pictures = [next(film_frames({shorten(name, _LETTERS): joints}, only=[frame])) for name, joints in dancers.items()]
    columns = _film_columns(len(pictures))
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[first : first + columns], 1) for first in range(0, len(pictures), columns)]
    return png_of(np.concatenate(rows))


def write_film(path: Path, dancers: Mapping[str, NDArray[np.floating]], samples: F32) -> None:
    """Writes a film of dancers to one song, each followed by a camera of its own, with sound.

    Args:
        path: An mp4 that every browser plays, of at most ``FILM_BYTES``.
        dancers: Joints [T, J, 3] by system, all of one length, ``FILM_S`` at most.
        samples: [N] float32, the song from the first frame on.

    Raises:
        ConfigError: If ffmpeg is missing or fails.
    """
    encoder, num_frames = find_encoder(), len(next(iter(dancers.values())))
    columns, (width, height) = _film_columns(len(dancers)), PANEL_PX
    most = min(MAX_KBIT_S, int(FILM_BYTES * 8 / 1000 / (num_frames / FPS + 1.0)) - _SOUND_KBIT_S)
    with TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wav"
        soundfile.write(sound, samples[: num_frames * SAMPLES_PER_FRAME], SAMPLE_RATE, subtype="PCM_16")
        command = [encoder, "-y", "-nostdin", "-loglevel", "error", "-i", str(sound)]
        for number, (name, joints) in enumerate(dancers.items()):
            film = Path(folder) / f"{number}.mp4"
            write_video(film, {shorten(name, _LETTERS): joints})
            command += ["-i", str(film)]
        places = [f"{number % columns * width}_{number // columns * height}" for number in range(len(dancers))]
        grid = f"xstack=inputs={len(places)}:layout={'|'.join(places)}:fill=white" if len(places) > 1 else "null"
        command += ["-filter_complex", f"{''.join(f'[{number + 1}:v]' for number in range(len(places)))}{grid}[all]"]
        command += ["-map", "[all]", "-map", "0:a", "-c:a", "aac", "-b:a", f"{_SOUND_KBIT_S}k", "-ac", "1"]
        command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "medium", "-crf", "25", "-threads", "1"]
        command += ["-maxrate", f"{most}k", "-bufsize", f"{most}k", "-colorspace", "bt709", "-color_primaries", "bt709"]
        command += ["-color_trc", "bt709", "-movflags", "+faststart", "-map_metadata", "-1"]
        command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-f", "mp4", str(path)]
        run_program(
            command, path, code="VIDEO", remedy="Install an ffmpeg with libx264, as Debian's is; or ask for no film."
        )


def _film_columns(count: int) -> int:
    return count if count <= ONE_ROW else -(-count // 2)
