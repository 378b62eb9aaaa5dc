"""Music for the motion store: several renderings of every paired clip, each with music of its own, and sounds without.

Every second rendering is for the mirror image of the clip; no sound is danced to twice. Sounds without music, to which
nobody dances, make up a small share. A rendering that fails is left out with its reason, and the rest of the set goes
on. Not for: one rendering (``rendering``), reading the folder (``music_index``).
"""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.progress import Progress

import soulstream_engine.features as feature_code
from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError, SoulstreamError
from soulstream_training.data.atomic import write_npz
from soulstream_training.data.groove import GrooveLibrary, has_takes
from soulstream_training.data.mma_band import find_mma
from soulstream_training.data.music_index import (
    INDEX_NAME,
    NEGATIVE_SHARE,
    MusicEntry,
    NegativeEntry,
    note_done,
    read_music_index,
    read_negatives,
    write_music_index,
)
from soulstream_training.data.music_render import find_synthesiser
from soulstream_training.data.negatives import NEGATIVE_KINDS, find_speaker, negative_example
from soulstream_training.data.rendering import make_real, make_rendering
from soulstream_training.data.store import INDEX_NAME as STORE_INDEX_NAME
from soulstream_training.data.store import ClipEntry, load_clip, read_index

MUSIC_VERSION = "5"
"""Raise it when pairing or rendering changes what a rendering looks like; all are then made again."""

SPLITS = ("train", "val")
"""Splits that get renderings unless others are asked for."""

TEST_SPLIT = "test"
"""Its renderings lie in a folder of their own: what is tested is never heard in training."""

PAIRED_CLASSES = ("A", "B", "real")

NEGATIVE_S = 40.0

_OURS = re.compile(r".+\.\d+\.(npz|npz\.partial|partial)")
_J = TypeVar("_J")
_M = TypeVar("_M")


@dataclass(frozen=True, slots=True)
class MusicSet:
    """What a music folder holds for a store.

    ``renderings``: those asked for now, the first of every clip in the order of the store, then the second and so on,
    and then others that were made before. ``negatives``: sounds without music. ``note``: what a user has to know of it
    as a whole, or empty.
    """

    renderings: list[MusicEntry]
    negatives: list[NegativeEntry]
    note: str = ""

    @property
    def failed(self) -> list[MusicEntry]:
        """Renderings that could not be made, each with its reason; the next run tries them again."""
        return [entry for entry in self.renderings if entry.is_failed]


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to make one rendering; ``drums_dir`` is ``None`` where there are no drum takes."""

    store_dir: Path
    data_dir: Path
    drums_dir: Path | None
    out_dir: Path
    clip: ClipEntry
    entry: MusicEntry


@dataclass(frozen=True, slots=True)
class _NegativeJob:
    """What a worker needs to make one sound without music."""

    out_dir: Path
    entry: NegativeEntry


def build_music_dataset(
    store_dir: Path,
    data_dir: Path,
    out_dir: Path,
    renderings: int = 12,
    workers: int = 1,
    progress: Progress | None = None,
    drums_dir: Path | None = None,
    splits: Sequence[str] = SPLITS,
) -> MusicSet:
    """Makes the renderings that are missing or out of date.

    Args:
        store_dir: Motion store.
        data_dir: Folder with the recordings that clips were danced to.
        out_dir: Folder to write; created if missing. Every rendering is noted as it is done, so a stopped run goes on
            where it was. Renderings of clips that the store does not have stay as they are.
        renderings: Renderings of each clip of the splits that can be paired; every second one is for its mirror image.
        workers: Processes; 1 works in this process.
        progress: Progress display to report to.
        drums_dir: Folder with the drum takes, ``data_dir`` if ``None``. If it has none, bands play drums of their own,
            and the note says so.
        splits: Splits that get renderings; ``test`` goes into a folder of its own.

    Returns:
        All entries of the store's clips.

    Raises:
        ConfigError: If FluidSynth, MMA, eSpeak or the store are missing, the folder holds music of another store, or
            the test split would share a folder with others.
        ValueError: If ``renderings`` or ``workers`` is less than 1.
    """
    if renderings < 1 or workers < 1:
        raise ValueError(f"{renderings} renderings by {workers} workers: both must be at least 1")
    in_store = read_index(store_dir)
    clips = {e.clip_id: e for e in in_store if e.pairing_class in PAIRED_CLASSES and e.split in splits}
    is_made_up = any(clip.pairing_class != "real" for clip in clips.values())
    if is_made_up:
        find_synthesiser()
        find_mma()
    if clips:
        find_speaker()
    made, quiet = _read_folder(out_dir, store_dir, {entry.clip_id for entry in in_store})
    _keep_test_apart(out_dir, made, splits)
    takes = drums_dir or data_dir
    found = takes if has_takes(takes) else None
    code = code_hash()
    facts = {clip.clip_id: _facts(clip, data_dir, found is not None, code) for clip in clips.values()}
    jobs = [
        _Job(store_dir, data_dir, found, out_dir, clip, _planned(clip, number, facts[clip.clip_id]))
        for number in range(renderings)
        for clip in clips.values()
    ]
    others = [entry for entry in made if entry.clip_id not in {clip.clip_id for clip in in_store}]
    entries = {
        entry.name: entry
        for entry in made
        if entry.clip_id in clips
        and entry.key == _planned(clips[entry.clip_id], entry.rendering, facts[entry.clip_id]).key
        and _is_there(out_dir, entry)
    }
    todo = [job for job in jobs if job.entry.name not in entries]
    write_music_index(out_dir, [*entries.values(), *others], quiet)
    total = len(jobs)
    task = progress.add_task("Rendering music", total=total, completed=total - len(todo)) if progress else None
    for entry in _run(_attempt, todo, workers):
        entries[entry.name] = entry
        note_done(out_dir, entry)
        if progress and task is not None:
            progress.advance(task)
    first = [entries.pop(job.entry.name) for job in jobs]
    own = [*first, *entries.values()]
    negatives = _make_negatives(out_dir, _plan_negatives(own, code, splits), quiet, workers, progress)
    write_music_index(out_dir, [*own, *others], negatives)
    _tidy(out_dir, [entry.name for entry in (*own, *others) if entry.is_paired] + [entry.name for entry in negatives])
    no_takes = f"No drum takes in {takes}: bands play their own drums." if is_made_up and found is None else ""
    return MusicSet(own, negatives, no_takes)


def _read_folder(out_dir: Path, store_dir: Path, clip_ids: set[str]) -> tuple[list[MusicEntry], list[NegativeEntry]]:
    """What is in the folder already; refused if none of it belongs to the store."""
    if (out_dir / STORE_INDEX_NAME).is_file():
        message = f"'{out_dir}' holds a motion store, no music."
        raise ConfigError("MUSIC_FOLDER_TAKEN", message, "Name another folder with --music.")
    out_dir.mkdir(parents=True, exist_ok=True)
    if not (out_dir / INDEX_NAME).is_file():
        return [], []
    made = read_music_index(out_dir)
    theirs = {entry.clip_id for entry in made} - clip_ids
    if theirs and len(theirs) == len({entry.clip_id for entry in made}):
        count = len(theirs)
        message = f"'{out_dir}' holds music of {count} clips, of which '{store_dir}' has none ({min(theirs)} ...)."
        raise ConfigError("MUSIC_FOLDER_TAKEN", message, "Name another folder with --music, or empty this one.")
    return made, read_negatives(out_dir)


def _keep_test_apart(out_dir: Path, made: Sequence[MusicEntry], splits: Sequence[str]) -> None:
    """Refuses to put what is tested beside what is learned from."""
    found = sorted({entry.split for entry in made} | set(splits))
    if TEST_SPLIT in found and len(found) > 1:
        message = f"'{out_dir}' would hold music of the splits {', '.join(found)}."
        remedy = f"Give the split {TEST_SPLIT} a folder of its own with --music: what is tested is not to be heard."
        raise ConfigError("MUSIC_FOLDER_TAKEN", message, remedy)


def _facts(clip: ClipEntry, data_dir: Path, with_takes: bool, code: str) -> str:
    """Everything that the renderings of a clip depend on: its motion, its labels, its song or the drum takes, code."""
    source = _hash_song(data_dir / clip.music) if clip.pairing_class == "real" else f"takes: {with_takes}"
    labels = (clip.split, clip.pairing_class, clip.tempo_bpm, clip.style)
    return repr((clip.input_hash, *labels, clip.music, source, code))


def _hash_song(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""  # the rendering fails, and says why


def _planned(clip: ClipEntry, rendering: int, facts: str) -> MusicEntry:
    return MusicEntry(
        name=f"{clip.clip_id}.{rendering}",
        key=hashlib.sha256(f"{rendering}|{facts}".encode()).hexdigest(),
        clip_id=clip.clip_id,
        split=clip.split,
        pairing_class=clip.pairing_class,
        rendering=rendering,
        is_paired=False,
        is_mirrored=rendering % 2 == 1,
    )


def _is_there(out_dir: Path, entry: MusicEntry | NegativeEntry) -> bool:
    """Whether what the index says is on the disk, whole."""
    if isinstance(entry, MusicEntry) and not entry.is_paired:
        return not entry.is_failed
    path = out_dir / f"{entry.name}.npz"
    return path.is_file() and path.stat().st_size == entry.size


def _tidy(out_dir: Path, names: Sequence[str]) -> None:
    """Removes files of ours that no entry speaks of: of clips that lost their music, or torn by a stop."""
    kept = {f"{name}.npz" for name in names}
    for path in out_dir.iterdir():
        if path.name not in kept and _OURS.fullmatch(path.name):
            path.unlink()


def _plan_negatives(entries: Sequence[MusicEntry], code: str, splits: Sequence[str]) -> list[NegativeEntry]:
    """As many sounds of every split, kind after kind, as make up the share."""
    planned = []
    for split in splits:
        frames = sum(entry.num_frames for entry in entries if entry.is_paired and entry.split == split)
        size = round(NEGATIVE_S * FPS)
        count = -(-round(frames * NEGATIVE_SHARE / (1.0 - NEGATIVE_SHARE)) // size)
        for number in range(count):
            kind = NEGATIVE_KINDS[number % len(NEGATIVE_KINDS)]
            key = hashlib.sha256(f"{kind}|{number}|{code}".encode()).hexdigest()
            planned.append(NegativeEntry(f"{kind}.{split}.{number}", key, kind, split, size))
    return planned


def _make_negatives(
    out_dir: Path,
    planned: Sequence[NegativeEntry],
    known: Sequence[NegativeEntry],
    workers: int,
    progress: Progress | None,
) -> list[NegativeEntry]:
    """The sounds without music, in the order of the plan; those that are there already are kept."""
    there = {replace(entry, size=0): entry for entry in known if _is_there(out_dir, entry)}
    done = {entry.name: there[entry] for entry in planned if entry in there}
    rest = [_NegativeJob(out_dir, entry) for entry in planned if entry.name not in done]
    task = progress.add_task("Sounds without music", total=len(planned), completed=len(done)) if progress else None
    reasons = []
    for outcome in _run(_attempt_negative, rest, workers):
        if isinstance(outcome, str):
            reasons.append(outcome)
        else:
            done[outcome.name] = outcome
            note_done(out_dir, outcome)
        if progress and task is not None:
            progress.advance(task)
    if reasons:
        message = f"{len(reasons)} of {len(planned)} sounds without music could not be made: {reasons[0]}"
        raise ConfigError("NEGATIVES_FAILED", message, "Run it again; what is done is kept.")
    return [done[entry.name] for entry in planned]


def code_hash() -> str:
    """Hash of the code a rendering depends on: ``MUSIC_VERSION`` and the feature code without comments and docstrings.

    Returns:
        Hexadecimal SHA-256.
    """
    digest = hashlib.sha256(MUSIC_VERSION.encode())
    for folder in feature_code.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list):
                    node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
            digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _run(make: Callable[[_J], _M], jobs: Sequence[_J], workers: int) -> Iterator[_M]:
    """Works in this process or several, yielding each result as it is done."""
    if workers == 1 or len(jobs) <= 1:
        yield from map(make, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        for done in as_completed([pool.submit(make, job) for job in jobs]):
            yield done.result()


_libraries: dict[tuple[Path, str], GrooveLibrary] = {}


def _attempt(job: _Job) -> MusicEntry:
    try:
        return _make(job)
    except SoulstreamError as error:
        return replace(job.entry, reason=str(error))  # as text: our errors do not survive the way between processes


def _make(job: _Job) -> MusicEntry:
    clip = load_clip(job.store_dir, job.clip)
    generator = _generator(job.entry.name)
    if job.clip.pairing_class == "real":
        return make_real(job.entry, clip, job.data_dir / job.clip.music, job.out_dir, generator)
    library = None
    if job.drums_dir is not None:
        where = (job.drums_dir, job.clip.split)
        if where not in _libraries:
            _libraries[where] = GrooveLibrary(*where)
        library = _libraries[where]
    return make_rendering(job.entry, clip, library, job.out_dir, generator)


def _attempt_negative(job: _NegativeJob) -> NegativeEntry | str:
    try:
        return _make_negative(job)
    except SoulstreamError as error:
        return str(error)


def _make_negative(job: _NegativeJob) -> NegativeEntry:
    entry = job.entry
    features, root_m, joint_wxyz = negative_example(entry.kind, entry.num_frames, _generator(entry.name))
    size = write_npz(job.out_dir / f"{entry.name}.npz", features=features, root_m=root_m, joint_wxyz=joint_wxyz)
    return replace(entry, size=size)


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big"))
