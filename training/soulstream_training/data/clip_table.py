"""Makes a clip table (``clips.csv``) of a folder with a data set: opens every file, reads its name, divides the clips.

Every file is opened by the reader that will read it in training, so the table holds what can be read. What is not known
is not guessed: a clip without a genre is ``unknown``, one without music of class B. The genre is what the name or a
label says (``clip_names``), else the folder that the file lies in, if the files lie in several. Not for reading a table
(``clips``) nor for dividing (``splits``). Letters: none.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath

from soulstream_engine.errors import ConfigError
from soulstream_training.data.asf import MotionFileError, refuse
from soulstream_training.data.body_model import FPS_RANGE
from soulstream_training.data.bvh import UP_AXES, read_bvh
from soulstream_training.data.clip_names import (
    IGNORE_LIST,
    SLICED_FORMATS,
    NameFacts,
    is_table_name,
    one_line,
    parse_name,
    read_genre,
    read_ignored,
    safe_id,
    shown_path,
    shown_reason,
)
from soulstream_training.data.clips import MAX_ROWS, ClipRow
from soulstream_training.data.named_source import NamedSource
from soulstream_training.data.readers import MODEL_FORMATS, read_model_motion
from soulstream_training.data.resample import whole_rate
from soulstream_training.data.sources import best_map
from soulstream_training.data.splits import DEFAULT_SHARES, SplitItem, assign_splits, read_shares

BVH = "bvh"
ENDINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("smplx", "amass"), (".npz",)),
    **dict.fromkeys(("motionx322", "souldance322", "finedance", "joints", "joints-z-up"), (".npy", ".npz")),
    "aist++": (".pkl",),
    "phantomdance": (".json",),
    BVH: (".bvh", ".bvh.gz"),
}
"""Formats that a table can be made of, and how their files end."""

MUSIC_ENDINGS = (".wav", ".flac", ".mp3", ".ogg")
"""Sound files, best first."""

MAX_FILES = MAX_ROWS
UNKNOWN_GENRE = "unknown"

_COLUMNS = (
    *("id", "path", "format", "skeleton", "true_fps", "unit_cm", "up_axis", "frames", "seconds", "split"),
    *("pairing_class", "tempo_bpm", "partner_id", "performer", "style", "licence"),
    *("dancer", "music", "face", "bad_frames"),
)


@dataclass(frozen=True, slots=True)
class BuiltTable:
    """A new table.

    Attributes:
        rows: Its lines, files in the order of their paths.
        items: What each of them shares with others, in the same order.
        left_out: Path of each file that is not in it, and why.
    """

    rows: tuple[ClipRow, ...]
    items: tuple[SplitItem, ...]
    left_out: tuple[tuple[str, str], ...]


def build_table(
    folder: Path,
    format: str,
    *,
    data_dir: Path | None = None,
    music_dir: Path | None = None,
    fps: float | None = None,
    performers_apart: bool = False,
    is_sliced: bool | None = None,
    unit_cm: float = 1.0,
    up_axis: str = "Y",
    shares: Sequence[float] = DEFAULT_SHARES,
    seed: int = 0,
    on_file: Callable[[int, int], None] | None = None,
) -> BuiltTable:
    """Makes a table of all files of a format in a folder and the folders in it.

    Links are followed within the folder only. A file with several dancers becomes a line for each, ``name.1`` and on,
    the next one being the partner. A slice is paired with music of its own name only, because the whole song does not
    begin where the slice does.

    Args:
        folder: The recordings.
        format: A name in ``ENDINGS``.
        data_dir: Folder that the table will lie in, which its paths start from; the folder of the recordings if
            ``None``. It must hold the recordings and the music.
        music_dir: Folder with the music, named after the song or the motion.
        fps: Frames a second, over what the files say; needed for formats that say nothing.
        performers_apart: Whether no performer may be in two splits.
        is_sliced: Whether names end in the number of a slice; ``None`` knows it by ``SLICED_FORMATS``.
        unit_cm: Centimetres of a unit of length in a BVH.
        up_axis: Axis that points up in a BVH: ``Y`` or ``Z``.
        shares: As in ``splits.assign_splits``.
        seed: As there.
        on_file: Called after each file with the number done and of all.

    Returns:
        The table. Besides song, take and partner, files of the same content keep their clips together.

    Raises:
        ConfigError: If the format is unknown or its rate is missing, a folder is missing or outside of ``data_dir``,
            no file can be read, there are more than ``MAX_FILES``, or the clips cannot be divided.
    """
    _check_settings(format, fps, unit_cm, up_axis)
    read_shares(shares)
    root = _folder(folder)
    data = root if data_dir is None else _folder(data_dir)
    music_root = None if music_dir is None else _folder(music_dir)
    for inner in (root, *([music_root] if music_root else [])):
        if not inner.is_relative_to(data):
            message = f"'{inner}' is not inside '{data}', where the table is to lie."
            raise ConfigError("TABLE_OUTSIDE", message, "Write the table (--out) to a folder that holds both.")
    files, unusable = _find(root, ENDINGS[format])
    stems = Counter(safe_id(_stem(path, format)).casefold() for path in files)
    builder = _Builder(
        root=root,
        data_dir=data,
        format=format,
        fps=fps,
        unit_m=0.01 * unit_cm,
        up_axis=up_axis,
        is_sliced=format in SLICED_FORMATS if is_sliced is None else is_sliced,
        performers_apart=performers_apart,
        has_genre_folders=len({path.parent for path in files}) > 1,
        music=_index_music(music_root, data) if music_root else {},
        shared_names=frozenset(stem for stem, times in stems.items() if times > 1),
        ignored=read_ignored(root) if format == "aist++" else frozenset(),
    )
    left_out = [(shown_path(path, root), reason) for path, reason in unusable]
    for number, path in enumerate(files, 1):
        try:
            builder.add(path)
        except MotionFileError as error:
            left_out.append((shown_path(path, root), str(error)))
        if on_file:
            on_file(number, len(files))
    if not builder.rows:
        raise _nothing(folder, format, left_out)
    splits = assign_splits(builder.items, shares, seed)
    rows = tuple(replace(row, split=splits[row.clip_id]) for row in builder.rows)
    return BuiltTable(rows, tuple(builder.items), tuple(left_out))


def write_table(path: Path, rows: Iterable[ClipRow]) -> None:
    """Writes a table that ``clips.read_clips`` reads back to the same rows; whole or not at all.

    Args:
        path: ``clips.csv``, written over if it exists.
        rows: Its lines.

    Raises:
        ConfigError: If the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(_record(row) for row in rows)
        os.replace(partial, path)
    except OSError as error:
        message = f"'{path}' cannot be written ({error.strerror})."
        raise ConfigError("TABLE_UNWRITABLE", message, "Give another --out.") from error


@dataclass(slots=True)
class _Builder:
    """Lines so far, and what is known of the folder: sound files by small name, names that several files have."""

    root: Path
    data_dir: Path
    format: str
    fps: float | None
    unit_m: float
    up_axis: str
    is_sliced: bool
    performers_apart: bool
    has_genre_folders: bool
    music: dict[str, list[Path]]
    shared_names: frozenset[str]
    ignored: frozenset[str]
    rows: list[ClipRow] = field(default_factory=list)
    items: list[SplitItem] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    digests: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Adds a line for each dancer of a file; a file that is refused leaves no trace."""
        stem = _stem(path, self.format)
        if not is_table_name(path.relative_to(self.data_dir)):
            message = f"'{shown_path(path, self.root)}' is no name for a table."
            raise MotionFileError("MOTION_NAME_UNUSABLE", message, "Rename the file.")
        if stem in self.ignored:
            raise refuse(path, 0, f"is on the publisher's {IGNORE_LIST}.", "Take it off the list to use it.")
        sizes = self._measure(path)
        facts = self._facts(path, stem)
        keys = {("song", facts.song), ("take", facts.take), ("file", self._digest(path))}
        if self.performers_apart:
            if not facts.performer:
                message = f"{path.name}: the name does not tell who dances, so performers cannot be kept apart."
                raise ConfigError("PERFORMER_UNKNOWN", message, "Leave --performers-apart out; AIST++ names tell it.")
            keys.add(("performer", facts.performer))
        music = self._find_music(path, stem, facts)
        if music is not None:
            keys.add(("music", self._digest(music)))
        names = self._names(path, stem, len(sizes))
        for number, (name, (num_frames, fps)) in enumerate(zip(names, sizes, strict=True), 1):
            partner = names[number % len(names)] if len(names) > 1 else ""
            row = ClipRow(
                clip_id=name,
                path=PurePosixPath(path.relative_to(self.data_dir)),
                format=self.format,
                skeleton=None,
                true_fps=fps,
                num_frames=num_frames,
                split="train",
                pairing_class="B" if music is None else "real",
                tempo_bpm=None,
                partner_id=partner,
                performer=facts.performer,
                style=facts.genre,
                bad_frames=(),
                unit_m=self.unit_m,
                up_axis=self.up_axis,
                dancer=number if partner else 0,
                music=None if music is None else PurePosixPath(music.relative_to(self.data_dir)),
            )
            shared = keys | ({("name", partner)} if partner else set())
            self.ids.add(name.casefold())
            self.rows.append(row)
            self.items.append(SplitItem(name, facts.genre, num_frames / fps, frozenset(shared)))
        if len(self.rows) > MAX_ROWS:
            message = f"'{self.root}' holds more than {MAX_ROWS} clips."
            raise ConfigError("TABLE_TOO_LARGE", message, "Make a table of a part of it.")

    def _measure(self, path: Path) -> list[tuple[int, float]]:
        """Frames and rate of each dancer."""
        if self.format == BVH:
            recording = read_bvh(path, unit_m=self.unit_m, up_axis=self.up_axis)
            NamedSource(recording, best_map(recording)).check_arms()
            return [(len(recording.position_m), whole_rate(recording.fps) if self.fps is None else self.fps)]
        return [(len(motion.root_m), motion.fps) for motion in read_model_motion(path, self.format, fps=self.fps)]

    def _facts(self, path: Path, stem: str) -> NameFacts:
        """What the name says, and the genre by label or folder."""
        facts = parse_name(stem, self.format, is_sliced=self.is_sliced)
        label = read_genre(path, facts.song) if self.format == "finedance" else ""
        folder = one_line(path.parent.name) if self.has_genre_folders else ""
        return replace(facts, genre=facts.genre or label or folder or UNKNOWN_GENRE)

    def _names(self, path: Path, stem: str, num_dancers: int) -> list[str]:
        """New ids, one a dancer: the name of the file, with its folders if others are called the same."""
        name = safe_id(stem)
        if name.casefold() in self.shared_names:
            name = safe_id("-".join((*path.relative_to(self.root).parts[:-1], stem)))
        for number in count(1):
            base = f"{name}-{number}" if number > 1 else name
            names = [base] if num_dancers == 1 else [f"{base}.{dancer}" for dancer in range(1, num_dancers + 1)]
            if self.ids.isdisjoint(one.casefold() for one in names):
                break
        return names

    def _find_music(self, path: Path, stem: str, facts: NameFacts) -> Path | None:
        """The sound file called as the motion or the song; none if it lies in several folders, none called alike."""
        for name in (stem, *([] if facts.is_slice else [facts.song])):
            found = self.music.get(name.casefold(), [])
            near = [music for music in found if music.parent.name == path.parent.name] or found
            if len({music.parent for music in near}) == 1:
                return min(near, key=lambda music: (MUSIC_ENDINGS.index(music.suffix.lower()), music.name))
        return None

    def _digest(self, path: Path) -> str:
        """Hash of a file, so that the same recording under two names is one."""
        if path not in self.digests:
            try:
                with path.open("rb") as stream:
                    self.digests[path] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise refuse(path, 0, f"cannot be read ({error.strerror}).", "Check its permissions.") from error
        return self.digests[path]


def _check_settings(format: str, fps: float | None, unit_cm: float, up_axis: str) -> None:
    if format not in ENDINGS:
        message = f"'{format[:40]}' is no format that a table can be made of."
        raise ConfigError("MOTION_FORMAT_UNKNOWN", message, f"Use one of {', '.join(ENDINGS)}.")
    if fps is None and format in MODEL_FORMATS and MODEL_FORMATS[format].needs_fps:
        message = f"Files of format '{format}' carry no frame rate."
        raise ConfigError("MOTION_RATE_MISSING", message, "Give it with --fps, as the publisher of the data says.")
    low, high = FPS_RANGE
    if fps is not None and not low <= fps <= high:
        message = f"{fps:g} frames a second are outside of {low:g} to {high:g}."
        raise ConfigError("MOTION_RATE_INVALID", message, "Correct --fps.")
    if not 0.001 <= unit_cm <= 1000.0 or up_axis not in UP_AXES:
        message = f"A unit of {unit_cm:g} cm (0.001 to 1000) with {up_axis[:9]} up ({' or '.join(UP_AXES)}) cannot be."
        raise ConfigError("MOTION_UNIT_INVALID", message, "Correct --unit-cm and --up-axis.")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigError("FOLDER_MISSING", f"'{path}' is no folder.", "Check the path.")
    return path.resolve()


def _walk(root: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files with an ending, in the order of their paths; hidden ones are passed over and links not gone into."""
    for where, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(endings) and not name.startswith("."):
                yield Path(where, name)


def _find(root: Path, endings: tuple[str, ...]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files within the folder; and what is none or leads out of it, with the reason."""
    files: list[Path] = []
    unusable: list[tuple[Path, str]] = []
    for path in _walk(root, endings):
        if not path.resolve().is_relative_to(root):
            unusable.append((path, "is a link out of the folder"))
        elif not path.is_file():
            unusable.append((path, "is no file"))
        else:
            files.append(path)
        if len(files) + len(unusable) > MAX_FILES:
            message = f"'{root}' holds more than {MAX_FILES} files."
            raise ConfigError("TABLE_TOO_LARGE", message, "Make a table of a part of it.")
    return files, unusable


def _index_music(root: Path, data_dir: Path) -> dict[str, list[Path]]:
    """Sound files by their name without ending, in small letters; those that a table cannot hold are passed over."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _find(root, MUSIC_ENDINGS)[0]:
        if is_table_name(path.relative_to(data_dir)):
            found[path.stem.casefold()].append(path)
    return found


def _stem(path: Path, format: str) -> str:
    ending = max((end for end in ENDINGS[format] if path.name.lower().endswith(end)), key=len)
    return path.name[: -len(ending)]


def _nothing(folder: Path, format: str, left_out: list[tuple[str, str]]) -> ConfigError:
    if left_out:
        message = f"None of {len(left_out)} files of '{folder}' can be used; the first: {shown_reason(*left_out[0])}"
        return ConfigError("TABLE_EMPTY", message, "Check --format and --fps.")
    message = f"'{folder}' holds no file of format '{format}' ({', '.join(ENDINGS[format])})."
    return ConfigError("TABLE_EMPTY", message, "Check the folder and --format.")


def _record(row: ClipRow) -> dict[str, str]:
    """A line of the file; empty is absent."""
    ranges = (f"{start}-{stop - 1}" if stop - start > 1 else str(start) for start, stop in row.bad_frames)
    return {
        "id": row.clip_id,
        "path": str(row.path),
        "format": row.format,
        "skeleton": str(row.skeleton or ""),
        "true_fps": repr(float(row.true_fps)).removesuffix(".0"),
        "unit_cm": f"{100.0 * row.unit_m:.10g}",
        "up_axis": row.up_axis,
        "frames": str(row.num_frames),
        "seconds": f"{row.num_frames / row.true_fps:.3f}",
        "split": row.split,
        "pairing_class": row.pairing_class,
        "tempo_bpm": "" if row.tempo_bpm is None else repr(float(row.tempo_bpm)).removesuffix(".0"),
        "partner_id": row.partner_id,
        "performer": row.performer,
        "style": row.style,
        "licence": row.licence,
        "dancer": str(row.dancer),
        "music": str(row.music or ""),
        "face": str(row.face or ""),
        "bad_frames": ";".join(ranges),
    }
