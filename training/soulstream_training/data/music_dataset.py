"""Music for the motion store: several renderings of every paired clip, each with music of its own, and sounds without.

Every second rendering is for the mirror image of the clip; no sound is danced to twice. Sounds without music, to which
nobody dances, make up a small share. Not for: one rendering (``rendering``), reading the folder (``music_index``).
"""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.progress import Progress

import soulstream_engine.features as feature_code
from soulstream_engine.clock import FPS
from soulstream_training.data.groove import GrooveLibrary
from soulstream_training.data.mma_band import find_mma
from soulstream_training.data.music_index import (
    INDEX_NAME,
    MusicEntry,
    NegativeEntry,
    read_music_index,
    read_negatives,
    write_music_index,
)
from soulstream_training.data.music_render import find_synthesiser
from soulstream_training.data.negatives import NEGATIVE_KINDS, negative_example
from soulstream_training.data.rendering import make_real, make_rendering
from soulstream_training.data.store import ClipEntry, load_clip, read_index

MUSIC_VERSION = "5"
"""Raise it when pairing or rendering changes what a rendering looks like; all are then made again."""

SPLITS = ("train", "val")
"""Splits that get renderings; what is tested is never heard in training."""

PAIRED_CLASSES = ("A", "B", "real")

NEGATIVE_SHARE = 0.07
"""Share of sounds without music. Source: shared data notes, 5 to 10 %."""

NEGATIVE_S = 40.0
WRITE_EVERY = 20
"""Renderings after which the index is written; a stopped run makes at most so many again."""

_J = TypeVar("_J")
_M = TypeVar("_M")


@dataclass(frozen=True, slots=True)
class MusicSet:
    """What a music folder holds: ``renderings`` in the order of the store, and ``negatives``, sounds without music."""

    renderings: list[MusicEntry]
    negatives: list[NegativeEntry]


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to make one rendering."""

    store_dir: Path
    data_dir: Path
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
) -> MusicSet:
    """Makes the renderings that are missing or out of date.

    Args:
        store_dir: Motion store.
        data_dir: Shared data, for the drum takes and for the recordings that clips were danced to.
        out_dir: Folder to write; created if missing. The index is written every few renderings, so a stopped run goes
            on where it was.
        renderings: Renderings of each clip of the splits ``train`` and ``val`` that can be paired; every second one is
            for its mirror image.
        workers: Processes; 1 works in this process.
        progress: Progress display to report to.

    Returns:
        All entries.

    Raises:
        ConfigError: If FluidSynth, MMA, eSpeak, the drum takes or the store are missing.
        ValueError: If ``renderings`` or ``workers`` is less than 1.
    """
    if renderings < 1 or workers < 1:
        raise ValueError(f"{renderings} renderings by {workers} workers: both must be at least 1")
    clips = [e for e in read_index(store_dir) if e.pairing_class in PAIRED_CLASSES and e.split in SPLITS]
    if any(clip.pairing_class != "real" for clip in clips):
        find_synthesiser()
        find_mma()
    out_dir.mkdir(parents=True, exist_ok=True)
    has_index = (out_dir / INDEX_NAME).is_file()
    made = {entry.name: entry for entry in read_music_index(out_dir)} if has_index else {}
    quiet = {entry.name: entry for entry in read_negatives(out_dir)} if has_index else {}
    code = code_hash()
    jobs = [
        _Job(store_dir, data_dir, out_dir, clip, _planned(clip, rendering, code))
        for rendering in range(renderings)
        for clip in clips
    ]
    kept = {name: entry for name, entry in made.items() if _is_there(out_dir, entry)}
    todo = [job for job in jobs if getattr(kept.get(job.entry.name), "key", "") != job.entry.key]
    entries = {job.entry.name: kept[job.entry.name] for job in jobs if job not in todo}
    task = progress.add_task("Rendering music", total=len(jobs), completed=len(entries)) if progress else None

    def write(negatives: Sequence[NegativeEntry]) -> None:
        write_music_index(out_dir, [entries[j.entry.name] for j in jobs if j.entry.name in entries], negatives)

    for number, entry in enumerate(_run(_make, todo, workers)):
        entries[entry.name] = entry
        if number % WRITE_EVERY == 0:
            write(list(quiet.values()))
        if progress and task is not None:
            progress.advance(task)
    planned = _plan_negatives(out_dir, list(entries.values()), code)
    done = {j.entry.name: j.entry for j in planned if quiet.get(j.entry.name) == j.entry and _npz(j).is_file()}
    write(list(done.values()))
    rest = [job for job in planned if job.entry.name not in done]
    task = progress.add_task("Sounds without music", total=len(planned), completed=len(done)) if progress else None
    for negative in _run(_make_negative, rest, workers):
        done[negative.name] = negative
        if progress and task is not None:
            progress.advance(task)
    write(list(done.values()))
    return MusicSet([entries[job.entry.name] for job in jobs], list(done.values()))


def _planned(clip: ClipEntry, rendering: int, code: str) -> MusicEntry:
    key = hashlib.sha256(f"{clip.input_hash}|{clip.music}|{rendering}|{code}".encode()).hexdigest()
    return MusicEntry(
        name=f"{clip.clip_id}.{rendering}",
        key=key,
        clip_id=clip.clip_id,
        split=clip.split,
        pairing_class=clip.pairing_class,
        rendering=rendering,
        is_paired=False,
        is_mirrored=rendering % 2 == 1,
    )


def _is_there(out_dir: Path, entry: MusicEntry) -> bool:
    return not entry.is_paired or (out_dir / f"{entry.name}.npz").is_file()


def _npz(job: _NegativeJob) -> Path:
    return job.out_dir / f"{job.entry.name}.npz"


def _plan_negatives(out_dir: Path, entries: Sequence[MusicEntry], code: str) -> list[_NegativeJob]:
    """As many sounds of every split, kind after kind, as make up the share."""
    jobs = []
    for split in SPLITS:
        frames = sum(entry.num_frames for entry in entries if entry.is_paired and entry.split == split)
        size = round(NEGATIVE_S * FPS)
        count = -(-round(frames * NEGATIVE_SHARE / (1.0 - NEGATIVE_SHARE)) // size)
        for number in range(count):
            kind = NEGATIVE_KINDS[number % len(NEGATIVE_KINDS)]
            key = hashlib.sha256(f"{kind}|{number}|{code}".encode()).hexdigest()
            jobs.append(_NegativeJob(out_dir, NegativeEntry(f"{kind}.{split}.{number}", key, kind, split, size)))
    return jobs


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


def _make(job: _Job) -> MusicEntry:
    clip = load_clip(job.store_dir, job.clip)
    generator = _generator(job.entry.name)
    if job.clip.pairing_class == "real":
        return make_real(job.entry, clip, job.data_dir / job.clip.music, job.out_dir, generator)
    where = (job.data_dir, job.clip.split)
    if where not in _libraries:
        _libraries[where] = GrooveLibrary(*where)
    return make_rendering(job.entry, clip, _libraries[where], job.out_dir, generator)


def _make_negative(job: _NegativeJob) -> NegativeEntry:
    entry = job.entry
    features, root_m, joint_wxyz = negative_example(entry.kind, entry.num_frames, _generator(entry.name))
    partial = job.out_dir / f"{entry.name}.partial"
    with partial.open("wb") as stream:
        np.savez(stream, features=features, root_m=root_m, joint_wxyz=joint_wxyz)
    os.replace(partial, _npz(job))
    return entry


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big"))
