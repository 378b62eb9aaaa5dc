"""The page that shows tokenizers beside the truth: pictures and films of a few clips, codes and levels, the numbers.

Not for: what a picture shows (``tokenizer_charts``), how a dancer is drawn (``figure_drawing``), measuring
(``tokenizer_table``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import BODY_DIM, HANDS, decode_joints
from soulstream_training.data.report_blocks import num_clips
from soulstream_training.data.report_codes import CodeUsage
from soulstream_training.evaluation.figure_drawing import film_frames, find_encoder, png_of, write_video
from soulstream_training.evaluation.tokenizer import reconstruct
from soulstream_training.evaluation.tokenizer_charts import (
    level_curve,
    level_errors,
    losses_of,
    png_bytes,
    reconstruction_strip,
    usage_heat_map,
    vertical_trajectory,
)
from soulstream_training.evaluation.tokenizer_table import TestSet
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.recipes.hrvq import MIN_ROWS
from soulstream_training.recipes.motion_rows import Stretch

F32 = NDArray[np.float32]

TRUTH = "truth"
"""Name of the motion that was danced; it has no error."""

INDEX_NAME, USAGE_NAME, LEVELS_NAME = "index.md", "usage.png", "levels.png"

SHOWN_STYLES = (("salsa",), ("charleston", "russian"), ("macarena", "chicken-dance"))
"""Styles of which a clip is shown each, the first of a group that there is. Source: ours; the last ones are danced by
people whom no training clip shows."""

SECONDS = 8.0
"""What is shown of a clip."""

Numbers = Mapping[str, Mapping[str, Any]]
"""Rows of the table by tokenizer, as ``tokenizer_row`` gives them."""

_COLUMNS = {
    "all": "all, mm",
    "body": "body, mm",
    "body_style_mean": "mean of styles, mm",
    "body_worst_style": "worst style, mm",
    "hands": "hands, mm",
    "face": "face, mm",
    "others": "other studio, mm",
    "jerk_ratio": "jerk",
    "boundary_ratio": "seams",
    "usage0": "first level used",
    "usage_min": "least used",
    "perplexity": "perplexity",
    "bits_per_s": "bits/s",
}
"""Numbers of a row that the table shows, and the headings of their columns."""


_REMARKS = {
    "all": "All: body and hands from the pelvis.",
    "face": "Face: mean distance of a vertex.",
    "others": "Other studio: the body on motion that was captured elsewhere.",
    "jerk_ratio": "Jerk: decoded over true.",
    "boundary_ratio": "Seams: error of the velocity between tokens over that within them.",
    "usage_min": "Used: share of the codes that occur, on the first level of the first part and where it is least.",
}
"""What a heading means."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the pictures of a stretch show: motion rows by system, the truth first."""

    stretch: Stretch
    systems: dict[str, F32]

    @property
    def title(self) -> str:
        return f"{self.stretch.style.replace('-', ' ').capitalize()} ({self.stretch.clip_id})"

    @property
    def are_hands_made_up(self) -> bool:
        weight = self.stretch.weight
        return weight is not None and len(weight) > BODY_DIM and bool((weight[HANDS] < 1.0).any())

    def file_name(self, kind: str) -> str:
        return f"{self.stretch.clip_id}_{kind}"


def choose_stretches(tests: TestSet, shown: Sequence[str] | None = None) -> list[Stretch]:
    """Stretches to show.

    Args:
        tests: What there is.
        shown: Ids of the clips wanted; ``None`` is one of each group of ``SHOWN_STYLES``, or of the first styles where
            there is none of them.

    Returns:
        The longest stretch of each clip or style, in the order asked for.

    Raises:
        ConfigError: If a clip that is asked for is not there.
    """
    everything = [*tests.studio, *(stretch for stretch, _ in tests.others)]
    if shown is not None:
        missing = sorted(set(shown) - {stretch.clip_id for stretch in everything})
        if missing:
            message = f"No clip {', '.join(missing)} among the {len(everything)} stretches."
            raise ConfigError("CLIP_UNKNOWN", message, "Name clips of this split, as in the store's index.json.")
        return [_longest([s for s in everything if s.clip_id == clip_id]) for clip_id in shown]
    styles = [next((style for style in group if style in tests.by_style), "") for group in SHOWN_STYLES]
    chosen = [style for style in styles if style] or list(tests.by_style)[: len(SHOWN_STYLES)]
    return [_longest(tests.by_style[style]) for style in chosen]


def _longest(stretches: Sequence[Stretch]) -> Stretch:
    return max(stretches, key=lambda stretch: len(stretch.rows))


def liveliest(rows: F32, num_frames: int) -> slice:
    """The ``num_frames`` of motion rows [T, D], or all if there are fewer, with most movement of the body."""
    if len(rows) <= num_frames:
        return slice(0, len(rows))
    world = decode_joints(rows[:, :BODY_DIM])[0]
    moved = np.linalg.norm(np.diff(world, axis=0), axis=-1).mean(axis=1)
    total = np.concatenate([[0.0], np.cumsum(moved, dtype=np.float64)])
    start = int(np.argmax(total[num_frames - 1 :] - total[: len(total) - num_frames + 1]))
    return slice(start, start + num_frames)


def write_tokenizer_results(
    models: Mapping[str, Hrvq],
    tests: TestSet,
    numbers: Numbers,
    out_dir: Path,
    on_step: Callable[[str], None] | None = None,
    *,
    shown: Sequence[str] | None = None,
    seconds: float = SECONDS,
) -> list[Path]:
    """Writes pictures, films and ``index.md``, which shows them.

    Args:
        models: Tokenizers by name, in evaluation mode, in the order they are shown.
        tests: What to show; codes and levels are counted over all of the studio.
        numbers: Rows of the table; may be empty.
        out_dir: Folder of the page; created if missing.
        on_step: Told what is being done.
        shown: Ids of the clips to show, or ``None`` for those of ``choose_stretches``.
        seconds: Longest that is shown of a clip.

    Returns:
        The files, ``index.md`` last.

    Raises:
        ConfigError: If there is nothing to show, a clip is not there, a tokenizer takes other columns than the motion
            has, or ffmpeg is missing or fails.
        ValueError: If a tokenizer is in training mode, where looking at it would change its codes.
        OSError: If a file cannot be written.
    """
    tell = on_step or (lambda _: None)
    find_encoder()
    stretches = tests.studio
    if not models or not stretches:
        message = f"{len(models)} tokenizers and {len(stretches)} stretches of motion: nothing to show."
        raise ConfigError("RESULTS_EMPTY", message, "Name tokenizers that are trained and a split that has clips.")
    chosen = choose_stretches(tests, shown)
    counters = {name: CodeUsage(model, stretches[0].rows.shape[1]) for name, model in models.items()}
    out_dir.mkdir(parents=True, exist_ok=True)
    curves = {}
    for name, model in models.items():
        tell(f"Counting codes of {name}")
        counters[name].add([stretch.rows for stretch in stretches])
        tell(f"Trying levels of {name}")
        curves[name] = level_errors(model, stretches)
    usage = {name: counter.levels() for name, counter in counters.items()}
    written = [
        _write_figure(out_dir / USAGE_NAME, usage_heat_map(usage)),
        _write_figure(out_dir / LEVELS_NAME, level_curve(curves)),
    ]
    scenes = []
    for stretch in chosen:
        tell(f"Drawing {stretch.clip_id}")
        piece = liveliest(stretch.rows, max(round(seconds * FPS), MIN_ROWS))
        made = {name: reconstruct(model, stretch.rows)[piece] for name, model in models.items()}
        scene = _Scene(stretch, {TRUTH: stretch.rows[piece]} | made)
        scenes.append(scene)
        written.append(_write_figure(out_dir / scene.file_name("poses.png"), reconstruction_strip(scene.systems)))
        written.append(_write_figure(out_dir / scene.file_name("heights.png"), vertical_trajectory(scene.systems)))
        tell(f"Filming {stretch.clip_id}")
        written += _write_film(out_dir, scene)
    written.append(_write(out_dir / INDEX_NAME, _page(scenes, stretches, numbers).encode("utf-8")))
    return written


def _write_figure(path: Path, figure: Figure) -> Path:
    return _write(path, png_bytes(figure))


def _write(path: Path, content: bytes) -> Path:
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_film(out_dir: Path, scene: _Scene) -> list[Path]:
    """The film of a clip, and its middle picture."""
    truth = scene.systems[TRUTH]
    dancers = {}
    for name, rows in scene.systems.items():
        error = float(np.mean(losses_of(truth, rows).body))
        dancers[name if name == TRUTH else f"{name}, {error:.0f} mm"] = decode_joints(rows)[0]
    film = out_dir / scene.file_name("film.mp4")
    write_video(film, dancers)
    still = png_of(next(film_frames(dancers, only=[len(truth) // 2])))
    return [film, _write(out_dir / scene.file_name("film.png"), still)]


def _page(scenes: Sequence[_Scene], stretches: Sequence[Stretch], numbers: Numbers) -> str:
    """The text of ``index.md``."""
    minutes = sum(len(stretch.rows) for stretch in stretches) / FPS / 60.0
    clips = num_clips(len({stretch.clip_id for stretch in stretches}))
    names = ", ".join(name for name in scenes[0].systems if name != TRUTH)
    lines = [
        "# Tokenizers beside the truth",
        "",
        f"{clips} ({minutes:.1f} minutes) of the {stretches[0].split} split, encoded and decoded by {names}. "
        "Errors are mean distances of joints in millimetres: those of the body with the pelvis in one place and the "
        "heading integrated over 5 s, those of a hand from its wrist.",
        "",
    ]
    if numbers:
        lines += [*_table(numbers), ""]
    for scene in scenes:
        poses, heights, film, still = map(scene.file_name, ("poses.png", "heights.png", "film.mp4", "film.png"))
        hands = " The hands were made by rule, not captured." if scene.are_hands_made_up else ""
        lines += [
            f"## {scene.title}",
            "",
            f"The liveliest {len(scene.systems[TRUTH]) / FPS:.1f} s of the clip.{hands}",
            "",
            f"![Poses over time, a row for each tokenizer]({poses})",
            "",
            "*Poses over time, the truth pale behind each. Beside a row: errors over all frames; under a pose: that of "
            "its body. Left limbs are orange, right ones blue.*",
            "",
            f"![Heights and speed over time, a column for each tokenizer]({heights})",
            "",
            "*Height above the floor of the pelvis and of the wrist and ankle that go up and down most, and mean speed "
            "of the 22 joints of the body, the truth pale behind each. Jerk above 1 trembles, below 1 is smoothed.*",
            "",
            f"[![Film of the dancers side by side]({still})]({film})",
            "",
            f"*[Film]({film}) of the same time. All start in one place and are seen by one camera, which follows the "
            "truth. With each name: the error of the body.*",
            "",
        ]
    lines += [
        "## Levels and codes",
        "",
        f"![Error against levels and against bits a second]({LEVELS_NAME})",
        "",
        "*Error over all clips when only the first levels are used, and against the bits a second that these take.*",
        "",
        f"![How often the codes of each part and level are used]({USAGE_NAME})",
        "",
        "*How often the codes of each part and level occur in all clips, the most used to the left. Perplexity: how "
        "many codes would carry as much if all were used alike. Used: share of the codes that occur at all.*",
        "",
    ]
    return "\n".join(lines)


def _table(numbers: Numbers) -> list[str]:
    """Lines of the table of tokenizers, and of the table of styles."""
    columns = {key: words for key, words in _COLUMNS.items() if any(key in row for row in numbers.values())}
    lines = _rows(list(columns.values()), {name: [row.get(key) for key in columns] for name, row in numbers.items()})
    remarks = [words for key, words in _REMARKS.items() if key in columns]
    if remarks:
        lines += ["", f"*{' '.join(remarks)}*"]
    styles = list(dict.fromkeys(style for row in numbers.values() for style in row.get("styles", {})))
    if styles:
        cells = {name: [row.get("styles", {}).get(style) for style in styles] for name, row in numbers.items()}
        lines += ["", "Body by style, mm:", "", *_rows(styles, cells)]
    return lines


def _rows(headings: Sequence[str], cells: Mapping[str, Sequence[Any]]) -> list[str]:
    lines = ["| tokenizer | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(headings)]
    for name, values in cells.items():
        lines.append(f"| {name} | " + " | ".join("" if value is None else str(value) for value in values) + " |")
    return lines
