"""``soulstream beats``: what the beat clock hears, and how right it is where the truth is known."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soulstream_engine.cli.output import console, print_json
from soulstream_engine.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from soulstream_engine.features.evaluate import TrackScore

_COLUMNS = ("id", "path", "mix_with", "bpm", "first_beat_s", "use")


@dataclass(frozen=True, slots=True)
class Track:
    """Something to listen to. ``bpm`` and ``first_beat_s`` are the truth, where it is known."""

    name: str
    files: tuple[Path, ...]
    use: str = ""
    bpm: float | None = None
    first_beat_s: float = 0.0


def beats(
    files: Annotated[list[Path] | None, typer.Argument(help="Sound files.", show_default=False)] = None,
    music_csv: Annotated[
        Path | None, typer.Option(help="List of tracks with id, path, mix_with, bpm, first_beat_s and use.")
    ] = None,
    use: Annotated[str, typer.Option(help="Only these uses of the list, with commas between them: tune,val.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Listen to music faster than it plays and report tempo and trust of the beat clock.

    With a list of tracks whose beats are known, also how often the tempo is within 3 % and the phase, predicted half a
    second ahead, within 50 ms (half beats forgiven).

    Examples:
      soulstream beats song.ogg
      soulstream beats --music-csv music.csv --use tune,val --json
    """
    from rich.progress import track

    from soulstream_engine.clock import monotonic_ns
    from soulstream_engine.features.evaluate import SETTLE_S, score_track, summarise

    tracks = [Track(file.name, (file,)) for file in files or []]
    if music_csv is not None:
        tracks += read_list(music_csv, {part.strip() for part in use.split(",") if part.strip()})
    if not tracks:
        raise ConfigError("BEATS_NOTHING_TO_HEAR", "No track was named (0, at least 1).", "Name files or --music-csv.")
    reports: list[dict[str, Any]] = []
    scores: dict[str, list[TrackScore]] = {}
    busy_ns, frames = 0, 0
    for item in track(tracks, description="Listening", console=console):
        samples = mixed(item.files)
        start_ns = monotonic_ns()
        rows, report = listen(samples)
        busy_ns += monotonic_ns() - start_ns
        frames += len(rows)
        report = {"track": item.name, **report}
        if item.bpm is not None and report["seconds"] > SETTLE_S:
            score = score_track(rows, item.bpm, item.first_beat_s)
            scores.setdefault(item.use, []).append(score)
            report |= told(item, score)
        reports.append(report)
    console.print(table_of(reports))
    result: dict[str, Any] = {"tracks": reports, "us_per_frame": round(busy_ns / 1000 / max(frames, 1), 1)}
    if scores:
        result["summary"] = summarise([score for group in scores.values() for score in group])
        result["by_use"] = {name: summarise(group) for name, group in sorted(scores.items())}
        for name, group in (("all", result["summary"]), *result["by_use"].items()):
            console.print(
                f"{name}: tempo right after 8 s {group['tempo_ok_8s']}/{group['tracks']}, after 15 s"
                f" {group['tempo_ok_15s']}/{group['tracks']}; phase within 50 ms {100 * group['phase_ok']:.1f} % of the"
                f" time, bias {group['phase_bias_ms']:+.1f} ms",
                soft_wrap=True,
            )
    if as_json:
        print_json(result)


def listen(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Runs the features over a recording.

    Args:
        samples: [N] float32 mono at 48 kHz.

    Returns:
        rows [T, F] float32 and ``seconds bpm confidence locked_s silent`` (shares of time, None before the first lock).
    """
    import numpy as np

    from soulstream_engine.clock import FPS, SAMPLE_RATE
    from soulstream_engine.features.extractor import FeatureExtractor
    from soulstream_engine.features.layout import NUM_FEATURES

    frames = FeatureExtractor().push(samples)
    locked = [frame for frame in frames if frame.tempo_bpm is not None]
    rows = np.stack([f.values for f in frames]) if frames else np.zeros((0, NUM_FEATURES), np.float32)
    share = 1.0 / max(len(frames), 1)
    return rows, {
        "seconds": round(len(samples) / SAMPLE_RATE, 2),
        "bpm": round(float(np.median([f.tempo_bpm for f in locked])), 2) if locked else None,
        "confidence": round(sum(f.confidence for f in frames) * share, 3),
        "locked_s": round(locked[0].index / FPS, 2) if locked else None,
        "silent": round(sum(f.is_silent for f in frames) * share, 3),
    }


def told(item: Track, score: TrackScore) -> dict[str, Any]:
    """The score of a track as plain values."""
    import numpy as np

    bias_s = float(np.median(score.phase_s[score.tempo_right])) if score.tempo_right.any() else 0.0
    return {
        "use": item.use,
        "true_bpm": item.bpm,
        "bpm_8s": round(score.bpm_8s, 2),
        "tempo_ok_8s": score.tempo_ok_8s,
        "tempo_ok_15s": score.tempo_ok_15s,
        "tempo_ok": round(score.tempo_ok, 3),
        "phase_ok": round(score.within(), 3),
        "phase_bias_ms": round(1000 * bias_s, 1),
        "on_beat": round(score.on_beat, 2),
    }


def mixed(files: tuple[Path, ...]) -> NDArray[np.float32]:
    """Sum of sound files that start together, [N] float32 at 48 kHz; the shorter ones end earlier."""
    import numpy as np

    from soulstream_engine.audio.decode import load_audio

    parts = [load_audio(file) for file in files]
    total = np.zeros(max(len(part) for part in parts), np.float32)
    for part in parts:
        total[: len(part)] += part
    return total


def read_list(path: Path, uses: set[str]) -> list[Track]:
    """Reads a list of tracks; paths in it are relative to its folder.

    Args:
        path: CSV file with the columns id, path, mix_with, bpm, first_beat_s, use.
        uses: Uses to keep; empty keeps all.

    Returns:
        The tracks in the order of the file.

    Raises:
        ConfigError: The file is missing, lacks a column, or holds a number that is not one.
    """
    if not path.is_file():
        raise ConfigError("BEATS_LIST_MISSING", f"There is no file {path}.", "Check the name after --music-csv.")
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(
                "BEATS_LIST_COLUMNS",
                f"{path} lacks the columns {', '.join(missing)}.",
                f"Needed: {', '.join(_COLUMNS)}.",
            )
        rows = [row for row in reader if not uses or row["use"] in uses]
    tracks = []
    for row in rows:
        try:
            bpm, first_beat_s = float(row["bpm"]), float(row["first_beat_s"] or 0.0)
        except ValueError as error:
            raise ConfigError(
                "BEATS_LIST_NUMBER", f"{path}, track {row['id']}: {error}.", "Write numbers with a decimal point."
            ) from error
        names = [name for name in (row["path"], row["mix_with"]) if name]
        tracks.append(Track(row["id"], tuple(path.parent / name for name in names), row["use"], bpm, first_beat_s))
    return tracks


def table_of(reports: list[dict[str, Any]]) -> Table:
    """The reports as a table for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table("track", "seconds", "BPM", "trust", "true BPM", "after 8 s", "phase within 50 ms", "bias (ms)")
    for report in reports:
        bpm = "-" if report["bpm"] is None else f"{report['bpm']:.1f}"
        row: list[str | Text] = [Text(report["track"]), f"{report['seconds']:.0f}", bpm, f"{report['confidence']:.2f}"]
        if "true_bpm" in report:
            style = "green" if report["tempo_ok_8s"] else "red"
            row += [f"{report['true_bpm']:g}", f"[{style}]{report['bpm_8s']:.1f}[/{style}]"]
            row += [f"{100 * report['phase_ok']:.0f} %", f"{report['phase_bias_ms']:+.1f}"]
        table.add_row(*row)
    return table
