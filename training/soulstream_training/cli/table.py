"""``soulstream-train data table``: a clip table of a data set that somebody owns."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress
from rich.table import Table

from soulstream_engine.cli.output import console, print_json, say
from soulstream_engine.errors import ConfigError

from .common import JsonOption

if TYPE_CHECKING:
    from soulstream_training.data.clips import ClipRow

FORMAT_HELP = (
    "aist++, finedance, souldance322, motionx322, phantomdance, smplx (BEAT2), amass, joints, joints-z-up or bvh."
)
MUSIC_HELP = "Folder with the music: files called as the song or as the motion."
SLICES_HELP = "Whether names end in the number of a slice of a take, as take_0012."


def table(
    folder: Path = typer.Argument(help="Folder with the recordings; folders in it are read too."),
    format: str = typer.Option(help=FORMAT_HELP),
    music: Path | None = typer.Option(None, help=MUSIC_HELP, show_default="no music: class B"),
    out: Path | None = typer.Option(None, help="Table to write.", show_default="clips.csv in the folder"),
    fps: float | None = typer.Option(
        None,
        min=1.0,
        max=1000.0,
        help="Frames a second; the 322 columns and joints need it.",
        show_default="the file's",
    ),
    slices: bool | None = typer.Option(None, "--slices/--no-slices", help=SLICES_HELP, show_default="322 columns only"),
    performers_apart: bool = typer.Option(False, "--performers-apart", help="Nobody dances in two splits (AIST++)."),
    shares: str = typer.Option("8,1,1", help="Parts of training, validation and test."),
    seed: int = typer.Option(0, min=0, help="Divides recordings of equal length differently."),
    unit_cm: float = typer.Option(1.0, min=0.001, max=1000.0, help="Centimetres of a unit of length in a BVH."),
    up_axis: str = typer.Option("Y", help="Axis that points up in a BVH: Y or Z."),
    force: bool = typer.Option(False, "--force", help="Write over a table that is there."),
    as_json: bool = JsonOption,
) -> None:
    """Make clips.csv of a data set you own: AIST++, FineDance, SoulDance, PhantomDance and others.

    Every file is opened; one that cannot be read is left out with its reason. Song, genre and dancer come from the
    names. Clips are divided by genre so that no song, take or pair of dancers is in two of training, validation and
    test; the basic choreographies of AIST++, danced to every song of a genre, are in all three. The table must lie in a
    folder that holds both recordings and music; that folder is then --data of data prepare.

    Example:
      soulstream-train data table aist/motions --format aist++ --music aist/music --out aist/clips.csv
      soulstream-train data prepare training/configs/data_own.toml --data aist --store .cache/my --music .cache/my_music
    """
    from soulstream_training.data.clip_names import shown_reason
    from soulstream_training.data.clip_table import build_table, write_table

    target = folder / "clips.csv" if out is None else out
    if target.exists() and not force:
        raise ConfigError("TABLE_EXISTS", f"'{target}' is there already.", "Give another --out, or --force.")
    parts = _numbers(shares)
    with Progress(console=console) as progress:
        task = progress.add_task("Reading recordings", total=None)
        built = build_table(
            folder,
            format,
            data_dir=target.parent,
            music_dir=music,
            fps=fps,
            performers_apart=performers_apart,
            is_sliced=slices,
            unit_cm=unit_cm,
            up_axis=up_axis,
            shares=parts,
            seed=seed,
            on_file=lambda done, total: progress.update(task, completed=done, total=total),
        )
    write_table(target, built.rows)
    for path, reason in built.left_out:
        say(f"left out: {shown_reason(path, reason)}")
    console.print(_counts(built.rows))
    splits = Counter(row.split for row in built.rows)
    paired = sum(row.music is not None for row in built.rows)
    say(f"{target}: {len(built.rows)} clips, {paired} with music, {len(built.left_out)} files left out")
    if as_json:
        print_json(
            {
                "clips": len(built.rows),
                "left_out": len(built.left_out),
                "seconds": round(sum(item.seconds for item in built.items), 1),
                **{split: splits[split] for split in ("train", "val", "test")},
                "genres": dict(sorted(Counter(row.style for row in built.rows).items())),
            }
        )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not three numbers, as 8,1,1.", param_hint="--shares") from error


def _counts(rows: tuple[ClipRow, ...]) -> Table:
    """Clips and minutes of each genre in each split."""
    clips: Counter[tuple[str, str]] = Counter()
    minutes: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        for genre in (row.style, "all"):
            clips[genre, row.split] += 1
            minutes[genre, row.split] += row.num_frames / row.true_fps / 60.0
    shown = Table("genre", "train", "val", "test", title="clips (minutes)")
    for genre in [*sorted({row.style for row in rows}), "all"]:
        cells = (f"{clips[genre, split]} ({minutes[genre, split]:.1f})" for split in ("train", "val", "test"))
        shown.add_row(genre, *cells)
    return shown
