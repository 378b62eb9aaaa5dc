"""Turns raw recordings into the motion store: read, pose, retarget, 30 fps, one npz a clip.

Resumable: a clip whose inputs have not changed is not made again. Not for reading the store (``store.py``).
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import REST_OFFSETS_M
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import MotionFileError, forward_kinematics, read_asf
from soulstream_training.data.clips import ClipRow, read_clips
from soulstream_training.data.resample import to_frames
from soulstream_training.data.retarget import retarget
from soulstream_training.data.store import INDEX_NAME, ClipEntry, clip_path, read_index, save_clip, write_index

PREPARE_VERSION = "4"
"""Raise it when the code changes what a clip looks like; every clip is then made again."""

CMU_FORMAT = "amc+asf"
TABLE_NAME = "clips.csv"


def prepare_cmu(data_dir: Path, out_dir: Path, workers: int = 2, progress: Progress | None = None) -> list[ClipEntry]:
    """Prepares every Acclaim clip of the clip table, all splits.

    Args:
        data_dir: Folder with ``clips.csv`` and the recordings.
        out_dir: Store to write; created if missing. Clips already there and unchanged are kept.
        workers: Processes; 1 works in this process.
        progress: Progress display to report to.

    Returns:
        The entries of the store's index, in table order.

    Raises:
        ConfigError: If the table is wrong or a clip cannot be used; all others are made first, then every bad
            one is listed.
    """
    rows = [row for row in read_clips(data_dir / TABLE_NAME) if row.format == CMU_FORMAT]
    out_dir.mkdir(parents=True, exist_ok=True)
    known = {entry.clip_id: entry for entry in _known(out_dir)}
    entries: dict[str, ClipEntry] = {}
    failures: list[str] = []
    todo = []
    for row in rows:
        try:
            input_hash = hash_inputs(data_dir, row)
        except MotionFileError as error:
            failures.append(f"{row.clip_id}: {error}")
            continue
        old = known.get(row.clip_id)
        if old and old.input_hash == input_hash and clip_path(out_dir, row.clip_id).is_file():
            entries[row.clip_id] = _describe(row, input_hash, old.num_frames, old.num_clean_frames)
        else:
            todo.append((row, input_hash))
    task = progress.add_task("Preparing motion", total=len(rows), completed=len(entries)) if progress else None
    for row, input_hash, outcome in _run(data_dir, out_dir, todo, workers):
        if isinstance(outcome, str):
            failures.append(f"{row.clip_id}: {outcome}")
        else:
            entries[row.clip_id] = _describe(row, input_hash, *outcome)
            write_index(out_dir, _in_order(rows, entries))
        if progress and task is not None:
            progress.advance(task)
    write_index(out_dir, _in_order(rows, entries))
    if failures:
        raise ConfigError(
            "MOTION_FILES_INVALID",
            f"{len(failures)} of {len(rows)} clips cannot be used:\n  " + "\n  ".join(sorted(failures)) + "\n",
            f"Replace the files or take the clips out of {TABLE_NAME}.",
        )
    return _in_order(rows, entries)


def prepare_clip(data_dir: Path, out_dir: Path, row: ClipRow) -> tuple[int, int]:
    """Reads, retargets, resamples and saves one clip.

    Args:
        data_dir: Folder with the recordings.
        out_dir: The store.
        row: The clip.

    Returns:
        Number of frames at 30 fps, and how many of them lie in clean segments.

    Raises:
        MotionFileError: If a file cannot be used or has not the frames the table says.
    """
    path = data_dir / row.path
    skeleton = read_asf(data_dir / _skeleton(row))
    channels = read_amc(path, skeleton)
    if len(channels) != row.num_frames:
        raise MotionFileError(
            "MOTION_FRAME_COUNT",
            f"{path.name} has {len(channels)} frames, {TABLE_NAME} says {row.num_frames}.",
            "Fetch the file again or correct the table.",
        )
    motion = retarget(skeleton, forward_kinematics(skeleton, channels))
    framed = to_frames(motion, row.true_fps, row.bad_frames)
    save_clip(out_dir, row.clip_id, root_m=framed.root_m, joint_wxyz=framed.joint_wxyz, segments=framed.segments)
    return len(framed.root_m), int((framed.segments[:, 1] - framed.segments[:, 0]).sum())


def hash_inputs(data_dir: Path, row: ClipRow) -> str:
    """Hash of everything a prepared clip depends on: both files, the table's facts, our skeleton, the code version.

    Args:
        data_dir: Folder with the recordings.
        row: The clip.

    Returns:
        Hexadecimal SHA-256.

    Raises:
        MotionFileError: If a file is missing.
    """
    digest = hashlib.sha256()
    digest.update(f"{PREPARE_VERSION}|{row.true_fps}|{row.num_frames}|{row.bad_frames}|".encode())
    digest.update(REST_OFFSETS_M.tobytes())
    for path in (data_dir / row.path, data_dir / _skeleton(row)):
        try:
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise MotionFileError(
                "MOTION_FILE_MISSING", f"'{path.name}' cannot be read ({error.strerror}).", "Check the data folder."
            ) from error
    return digest.hexdigest()


def _run(
    data_dir: Path, out_dir: Path, todo: list[tuple[ClipRow, str]], workers: int
) -> Iterator[tuple[ClipRow, str, tuple[int, int] | str]]:
    """Prepares clips, in this process or several, yielding each as it is done; text instead of counts is a failure."""
    if workers <= 1 or len(todo) <= 1:
        for row, input_hash in todo:
            yield row, input_hash, _attempt(data_dir, out_dir, row)
        return
    # Fresh processes: forking one that has threads (progress display, torch) can dead-lock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        jobs: dict[Future[tuple[int, int] | str], tuple[ClipRow, str]] = {
            pool.submit(_attempt, data_dir, out_dir, row): (row, input_hash) for row, input_hash in todo
        }
        for job in as_completed(jobs):
            yield *jobs[job], job.result()


def _attempt(data_dir: Path, out_dir: Path, row: ClipRow) -> tuple[int, int] | str:
    try:
        return prepare_clip(data_dir, out_dir, row)
    except MotionFileError as error:
        return str(error)  # as text, because our errors do not survive the way between processes


def _skeleton(row: ClipRow) -> Path:
    if row.skeleton is None:
        raise MotionFileError("MOTION_SKELETON_MISSING", f"{row.clip_id} has no skeleton.", f"Name it in {TABLE_NAME}.")
    return Path(row.skeleton)


def _known(out_dir: Path) -> Iterable[ClipEntry]:
    return read_index(out_dir) if (out_dir / INDEX_NAME).is_file() else ()


def _describe(row: ClipRow, input_hash: str, num_frames: int, num_clean_frames: int) -> ClipEntry:
    return ClipEntry(
        clip_id=row.clip_id,
        input_hash=input_hash,
        split=row.split,
        pairing_class=row.pairing_class,
        style=row.style,
        tempo_bpm=row.tempo_bpm,
        partner_id=row.partner_id,
        performer=row.performer,
        num_frames=num_frames,
        num_clean_frames=num_clean_frames,
    )


def _in_order(rows: list[ClipRow], entries: dict[str, ClipEntry]) -> list[ClipEntry]:
    return [entries[row.clip_id] for row in rows if row.clip_id in entries]
