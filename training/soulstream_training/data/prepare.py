"""Turns raw recordings into the motion store: read, retarget, 30 fps, judge, one npz a clip.

A recording that cannot be used is left out with its reason, and the rest of the set goes on. Resumable: a clip whose
inputs have not changed is not made again. A worker holds one recording at a time. Not for reading the store
(``store``), single formats (``sources``) or music (``music_dataset``).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import CONTACT, encode_body
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, REST_OFFSETS_M, forward_kinematics
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.atomic import write_text
from soulstream_training.data.clips import ClipRow, read_clips
from soulstream_training.data.fingerprints import Fingerprints, takes_of
from soulstream_training.data.hand_library import hand_library
from soulstream_training.data.hands_and_face import RULE_SPACE, complete, face_at_30, unused_face
from soulstream_training.data.motion_quality import QualityReport, foot_slide, reject_reason, report_quality
from soulstream_training.data.recipe import ClipSettings, DataRecipe
from soulstream_training.data.resample import FramedMotion, source_times, to_frames
from soulstream_training.data.sources import CMU_FORMAT, Source, inputs_of, read_source, source_feet_m
from soulstream_training.data.store import is_whole, remove_clips, save_clip
from soulstream_training.data.store_index import (
    ClipEntry,
    append_journal,
    close_journal,
    read_known,
    write_index,
    write_rejected,
)

LEFT_OUT_NAME = "left_out.json"
PREPARE_VERSION = "6"
"""Raise it when the code changes what a clip looks like; every clip is then made again."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A clip that is not in the store, and why."""

    clip_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a clip table.

    ``entries`` of the store's index in table order, what was ``left_out``, how many clips were ``read`` in this run
    (the others had not changed), and ``notes``: what is in the store otherwise than one may think, a line each.
    """

    entries: tuple[ClipEntry, ...]
    left_out: tuple[LeftOut, ...]
    read: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to make one clip."""

    data_dir: Path
    out_dir: Path
    row: ClipRow
    settings: ClipSettings
    face_space: str
    input_hash: str


def prepare(
    recipe: DataRecipe, data_dir: Path, out_dir: Path, workers: int = 2, progress: Progress | None = None
) -> Prepared:
    """Prepares every clip of the table that the recipe takes.

    Args:
        recipe: Which clips, and how good they have to be.
        data_dir: Folder with the table and the recordings.
        out_dir: Store to write; created if missing. Clips already there and unchanged are kept.
        workers: Processes; 1 works in this process.
        progress: Progress display to report to.

    Returns:
        The clips of the store and those left out, each with its reason.

    Raises:
        ConfigError: If the table is wrong, the recipe names clips that it has not, or the store's lists are broken.
    """
    table = read_clips(data_dir / recipe.table)
    listed = {row.clip_id for row in table.rows} | {clip_id for clip_id, _ in table.refused}
    unknown = sorted(set(recipe.clips) - listed)
    if unknown:
        message = f"The recipe names clips {unknown} that {recipe.table} has not."
        raise ConfigError("CLIP_UNKNOWN", message, "Correct their names.")
    rows = [row for row in table.rows if _is_taken(row, recipe)]
    out_dir.mkdir(parents=True, exist_ok=True)
    known = read_known(out_dir)
    made: dict[str, ClipEntry] = {}
    left_out: dict[str, str] = {}
    jobs = []
    library = hand_library(data_dir).id
    hashes, takes = Fingerprints(), takes_of(table.rows)
    marks: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        settings = recipe.clips.get(row.clip_id, ClipSettings())
        try:
            input_hash = hash_inputs(data_dir, row, settings, recipe.face_space, library, hashes)
            recording = hashes.recording(data_dir, row)
        except MotionFileError as error:
            left_out[row.clip_id] = str(error)
            continue
        marks[row.clip_id] = (recording, hashes.song(data_dir, row), takes.get(row.clip_id, ""))
        old = known.get(row.clip_id)
        if old and old.input_hash == input_hash and is_whole(out_dir, old):
            made[row.clip_id] = _marked(_described(row, old), *marks[row.clip_id])
        else:
            jobs.append(_Job(data_dir, out_dir, row, settings, recipe.face_space, input_hash))
    done = len(made) + len(left_out)
    task = progress.add_task("Preparing motion", total=len(rows), completed=done) if progress else None
    for clip_id, outcome in _run(jobs, workers):
        if isinstance(outcome, str):
            left_out[clip_id] = outcome
        else:
            made[clip_id] = _marked(outcome, *marks[clip_id])
            append_journal(out_dir, made[clip_id])
        if progress and task is not None:
            progress.advance(task)
    limits = recipe.quality.limits()
    rejected = []
    for entry in list(made.values()):
        report = QualityReport(
            entry.foot_slide_mps, entry.jitter_mps3, 0.0, entry.limit_share, entry.floor_penetration_m
        )
        reason = reject_reason(report, limits) if entry.num_clean_frames else "no clean stretch is long enough"
        if reason:
            left_out[entry.clip_id] = reason
            rejected.append(entry)
            del made[entry.clip_id]
    entries = [made[row.clip_id] for row in rows if row.clip_id in made]
    write_rejected(out_dir, rejected)
    write_index(out_dir, entries)
    remove_clips(out_dir, known.keys() - made.keys() - {entry.clip_id for entry in rejected})
    close_journal(out_dir)
    missing = [LeftOut(*refused) for refused in table.refused]
    missing += [LeftOut(row.clip_id, left_out[row.clip_id]) for row in rows if row.clip_id in left_out]
    _write_left_out(out_dir, missing)
    return Prepared(tuple(entries), tuple(missing), len(jobs), _notes(entries, recipe.face_space))


def _notes(entries: list[ClipEntry], face_space: str) -> tuple[str, ...]:
    """What became of captured faces that do not fit the set, a line for each of their spaces."""
    spaces = Counter(entry.unused_face for entry in entries if entry.unused_face)
    instead = "made by rule" if face_space == RULE_SPACE else "left at rest"
    remedy = ' To use the faces set face_space = "flame100" in the recipe.'
    return tuple(
        f"{number} clips have captured faces of space '{space}', which do not fit face space '{face_space}': their "
        f"bodies are used, their faces {instead}.{remedy if space.startswith('flame') else ''}"
        for space, number in sorted(spaces.items())
    )


def _write_left_out(out_dir: Path, missing: list[LeftOut]) -> None:
    """Keep the reasons beside the index, for the report; whole or not at all."""
    write_text(out_dir / LEFT_OUT_NAME, json.dumps({"left_out": [asdict(item) for item in missing]}, indent=1) + "\n")


def prepare_clip(
    data_dir: Path, out_dir: Path, row: ClipRow, settings: ClipSettings, face_space: str, input_hash: str = ""
) -> ClipEntry:
    """Reads, retargets, resamples, completes, measures and saves one clip.

    Args:
        data_dir: Folder with the recordings.
        out_dir: The store.
        row: The clip.
        settings: What the table cannot say of it.
        face_space: Face space of the set.
        input_hash: Hash of everything that it is made from.

    Returns:
        Its line of the index.

    Raises:
        MotionFileError: If a file cannot be used or has not the frames the table says.
        ConfigError: If its format, joint map, rate or own recording of the face cannot be used.
    """
    source = read_source(data_dir, row, map_name=settings.joint_map, rest_frame=settings.rest_frame)
    framed = to_frames(source.motion, row.true_fps, row.bad_frames)
    seed = int.from_bytes(hashlib.sha256(row.clip_id.encode()).digest()[:6], "big")
    extra = complete(
        framed.root_m,
        framed.joint_wxyz,
        face_at_30(data_dir, row, source, face_space),
        face_space=face_space,
        library=hand_library(data_dir),
        generator=np.random.default_rng(seed),
    )
    size = save_clip(
        out_dir,
        row.clip_id,
        root_m=framed.root_m,
        joint_wxyz=framed.joint_wxyz[:, :NUM_BODY_JOINTS],
        segments=framed.segments,
        captured=source.captured,
        finger_wxyz=extra.finger_wxyz,
        face=extra.face,
        synthetic=extra.synthetic,
    )
    report, source_slide = _measure(framed, source, row.true_fps)
    return _described(
        row,
        ClipEntry(
            clip_id=row.clip_id,
            input_hash=input_hash,
            split=row.split,
            pairing_class=row.pairing_class,
            style=row.style,
            tempo_bpm=row.tempo_bpm,
            partner_id=row.partner_id,
            performer=row.performer,
            num_frames=len(framed.root_m),
            num_clean_frames=int((framed.segments[:, 1] - framed.segments[:, 0]).sum()),
            foot_slide_mps=report.foot_slide_mps,
            source_slide_mps=source_slide,
            jitter_mps3=report.jitter_mps3,
            limit_share=report.limit_share,
            floor_penetration_m=report.floor_penetration_m,
            hands=extra.hands_are,
            face=extra.face_is,
            face_space=face_space,
            size=size,
            unused_face=unused_face(row, source, face_space),
        ),
    )


def hash_inputs(
    data_dir: Path, row: ClipRow, settings: ClipSettings, face_space: str, library: str, hashes: Fingerprints
) -> str:
    """Hash of everything a prepared clip depends on: its files, the table's facts, our skeleton, the code version.

    Args:
        data_dir: Folder with the recordings.
        row: The clip.
        settings: What the table cannot say of it.
        face_space: Face space of the set.
        library: Name of the hand poses.
        hashes: Hashes of the files.

    Returns:
        Hexadecimal SHA-256.

    Raises:
        MotionFileError: If a file is missing.
    """
    digest = hashlib.sha256()
    digest.update(f"{PREPARE_VERSION}|{row.true_fps}|{row.num_frames}|{row.bad_frames}|{row.dancer}|".encode())
    digest.update(f"{face_space}|{library}|".encode())
    if row.format != CMU_FORMAT:
        digest.update(f"{row.format}|{row.unit_m}|{row.up_axis}|{settings.model_dump_json()}|".encode())
    digest.update(REST_OFFSETS_M.tobytes())
    for path in inputs_of(data_dir, row):
        digest.update(hashes.of(path).raw)
    return digest.hexdigest()


def _is_taken(row: ClipRow, recipe: DataRecipe) -> bool:
    return (not recipe.formats or row.format in recipe.formats) and (not recipe.splits or row.split in recipe.splits)


def _described(row: ClipRow, entry: ClipEntry) -> ClipEntry:
    """The entry with what the table says now: labels may change without the motion being made again."""
    return replace(
        entry,
        split=row.split,
        pairing_class=row.pairing_class,
        style=row.style,
        tempo_bpm=row.tempo_bpm,
        partner_id=row.partner_id,
        performer=row.performer,
        format=row.format,
        licence=row.licence,
        music=str(row.music or ""),
    )


def _marked(entry: ClipEntry, recording: str, song: str, take: str) -> ClipEntry:
    return replace(entry, recording=recording, song=song, take=take)


def _measure(framed: FramedMotion, source: Source, source_fps: float) -> tuple[QualityReport, float]:
    """Quality over the clean segments, and the foot slide of the recording itself in the same frames, in m/s."""
    body = framed.joint_wxyz[:, :NUM_BODY_JOINTS]
    joints_m = forward_kinematics(framed.root_m, body)
    contacts = encode_body(framed.root_m, body)[:, CONTACT] > 0.5 if len(body) > 1 else np.zeros((0, 4), np.bool_)
    feet = source_feet_m(source)
    if feet is not None:
        feet = feet[np.round(source_times(len(feet), source_fps)).astype(np.int64)]
    reports, weights, slides = [], [], []
    for start, stop in framed.segments.tolist():
        planted = contacts[start : stop - 1]
        reports.append(report_quality(joints_m[start:stop], planted))
        weights.append(stop - start)
        slides.append(0.0 if feet is None else foot_slide(feet[start:stop], planted & _is_known(feet[start:stop])))
    if not reports:
        return QualityReport(0.0, 0.0, 0.0, 0.0, 0.0), 0.0
    share = np.array(weights) / sum(weights)
    means = [
        float(share @ [getattr(report, name) for report in reports]) for name in QualityReport.__dataclass_fields__
    ]
    return QualityReport(*means), float(share @ slides)


def _is_known(feet: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N - 1, 4] whether a joint of the recording's feet was captured."""
    return np.asarray(np.isfinite(feet[:-1]).all(axis=-1))


def _run(jobs: list[_Job], workers: int) -> Iterator[tuple[str, ClipEntry | str]]:
    """Prepares clips, in this process or several, yielding each as it is done; text instead of an entry is a reason."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job.row.clip_id, _attempt(job)
        return
    # Fresh processes: forking one that has threads (progress display, torch) can dead-lock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        running = {pool.submit(_attempt, job): job.row.clip_id for job in jobs}
        for future in as_completed(running):
            yield running[future], future.result()


def _attempt(job: _Job) -> ClipEntry | str:
    try:
        return prepare_clip(job.data_dir, job.out_dir, job.row, job.settings, job.face_space, job.input_hash)
    except ConfigError as error:
        return str(error)  # as text, because our errors do not survive the way between processes
