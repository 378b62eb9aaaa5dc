"""Music for the motion store: several renderings of every paired clip, kept as feature rows of the live engine.

Each rendering is one npz: ``features`` [U, F] float32, row n for frame n of the bent clip; ``source_frame`` [U]
float64, the frame of the store's clip shown there (``pairing.resample_motion(root_m, joint_wxyz, source_frame)`` makes
the motion); ``beats_s`` [B] float64 seconds from frame 0; ``lock`` [U] float32 0..1, how well the motion around a frame
meets the beats. The sound itself is thrown away. The whole rendering goes through the feature code, so the clock's real
errors are in the rows. Not for: sound (``music_render``), grids (``pairing``).

Letters: U frames at 30 fps, F features, B beats.
"""

from __future__ import annotations

import ast
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

import soulstream_engine.features as feature_code
from soulstream_engine.bundle import read_arrays
from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES, REFERENCE_BPM
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.groove import GrooveLibrary
from soulstream_training.data.kinematic_beats import mean_speed
from soulstream_training.data.music_render import Piece, find_synthesiser, render
from soulstream_training.data.music_style import styles_for
from soulstream_training.data.pairing import BeatFit, find_grid
from soulstream_training.data.store import Clip, ClipEntry, load_clip, read_index

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MUSIC_VERSION = "4"
"""Raise it when pairing or rendering changes what a rendering looks like; all are then made again."""

INDEX_NAME = "music.json"
SPLITS = ("train", "val")
"""Splits that get renderings; what is tested is never heard in training."""

MAX_BYTES = 64_000_000
FAST_BPM = (112.0, 168.0)
SLOW_BPM = (84.0, 118.0)
"""Tempi of the two kinds of renderings; together they cover the music people dance to."""

SPEED_RANGE = (0.8, 1.15)
NUM_SPEEDS = 2
ACCENT_RANGE = (0.25, 0.4)

ANY_STYLES = ("electronic", "rock", "pop")
"""Styles of every third rendering, whatever the dance is called: most music it will meet is not of its own kind."""

MAX_ATTEMPTS = 3
KEEP_MISHEARD = 0.15
"""A rendering whose tempo the beat clock gets wrong is played anew with other music, but for this share: the live clock
errs on about one track in twenty, and training should know that, not more."""

_REMEDY = "Make the music again into an empty folder."


@dataclass(frozen=True, slots=True)
class MusicEntry:
    """One rendering of one clip.

    ``name`` of the npz without its ending; ``key`` hash of clip, seed and code; ``is_paired`` false: no grid was
    accepted, there is no npz and the clip trains without music. ``bpm`` of the music, ``speed`` of the motion. From the
    fit: ``shift_p refit_p on_beat residual_ms offset_ms concentration density``. From the sound: ``music_style drums
    effects``. From the beat clock: ``clock_ms`` median and ``clock_p90_ms`` 90th percentile of its absolute half-beat
    error, ``clock_bias_ms`` its median (positive: the clock is late), ``clock_tempo`` share of rows within 3 % of the
    tempo, ``clock_ratio`` median tempo heard over the true one.
    """

    name: str
    key: str
    clip_id: str
    split: str
    pairing_class: str
    rendering: int
    is_paired: bool
    num_frames: int = 0
    bpm: float = 0.0
    speed: float = 1.0
    shift_p: float = 1.0
    refit_p: float = 1.0
    on_beat: float = 0.0
    residual_ms: float = 0.0
    offset_ms: float = 0.0
    concentration: float = 0.0
    density: float = 0.0
    music_style: str = ""
    drums: str = ""
    effects: str = ""
    clock_ms: float = 0.0
    clock_p90_ms: float = 0.0
    clock_bias_ms: float = 0.0
    clock_tempo: float = 0.0
    clock_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class MusicClip:
    """A rendering in memory: ``features`` [U, F], ``source_frame`` [U], ``beats_s`` [B] and ``lock`` [U]."""

    entry: MusicEntry
    features: F32
    source_frame: F64
    beats_s: F64
    lock: F32


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to make one rendering."""

    store_dir: Path
    data_dir: Path
    out_dir: Path
    clip: ClipEntry
    rendering: int
    key: str
    name: str


def build_music_dataset(
    store_dir: Path,
    data_dir: Path,
    out_dir: Path,
    renderings: int = 6,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[MusicEntry]:
    """Makes the renderings that are missing or out of date.

    Args:
        store_dir: Motion store.
        data_dir: Shared data, for the drum takes.
        out_dir: Folder to write; created if missing. The index is written after every rendering, so a stopped run
            goes on where it was.
        renderings: Renderings of each clip of class A and B in the splits ``train`` and ``val``.
        workers: Processes; 1 works in this process.
        progress: Progress display to report to.

    Returns:
        All entries, in the order of the store.

    Raises:
        ConfigError: If FluidSynth, the drum takes or the store are missing.
        ValueError: If ``renderings`` or ``workers`` is less than 1.
    """
    if renderings < 1 or workers < 1:
        raise ValueError(f"{renderings} renderings by {workers} workers: both must be at least 1")
    find_synthesiser()
    clips = [entry for entry in read_index(store_dir) if entry.pairing_class in "AB" and entry.split in SPLITS]
    out_dir.mkdir(parents=True, exist_ok=True)
    old = {entry.name: entry for entry in read_music_index(out_dir)} if (out_dir / INDEX_NAME).is_file() else {}
    code = code_hash()
    order: list[str] = []
    entries: dict[str, MusicEntry] = {}
    jobs: list[_Job] = []
    for rendering in range(renderings):
        for clip in clips:
            name = f"{clip.clip_id}.{rendering}"
            key = hashlib.sha256(f"{clip.input_hash}|{rendering}|{code}".encode()).hexdigest()
            order.append(name)
            known = old.get(name)
            if known and known.key == key and (not known.is_paired or (out_dir / f"{name}.npz").is_file()):
                entries[name] = known
            else:
                jobs.append(_Job(store_dir, data_dir, out_dir, clip, rendering, key, name))
    task = progress.add_task("Rendering music", total=len(order), completed=len(entries)) if progress else None
    for entry in _run(jobs, workers):
        entries[entry.name] = entry
        _write_index(out_dir, [entries[name] for name in order if name in entries])
        if progress and task is not None:
            progress.advance(task)
    result = [entries[name] for name in order]
    _write_index(out_dir, result)
    return result


def read_music_index(folder: Path) -> list[MusicEntry]:
    """Reads the index of a music folder.

    Args:
        folder: Made by ``build_music_dataset``.

    Returns:
        Its entries, those without music included.

    Raises:
        ConfigError: If it is missing or cannot be read.
    """
    path = folder / INDEX_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [MusicEntry(**record) for record in document["renderings"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("MUSIC_INVALID", f"'{path.name}' cannot be read ({error}).", _REMEDY) from error


def load_music(folder: Path, entry: MusicEntry) -> MusicClip:
    """Loads one rendering.

    Args:
        folder: Made by ``build_music_dataset``.
        entry: A line of its index with ``is_paired`` true.

    Returns:
        The rendering, shapes checked.

    Raises:
        ConfigError: If the arrays do not fit the index or the features of this version.
        BundleError: If the archive is broken.
    """
    arrays = read_arrays(folder / f"{entry.name}.npz", max_bytes=MAX_BYTES)
    shapes = {
        "features": (entry.num_frames, NUM_FEATURES),
        "source_frame": (entry.num_frames,),
        "lock": (entry.num_frames,),
        "beats_s": (len(arrays.get("beats_s", ())),),
    }
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = list(arrays[name].shape) if name in arrays else "nothing"
            raise ConfigError("MUSIC_INVALID", f"'{entry.name}' holds {found} as '{name}', not {list(shape)}.", _REMEDY)
    return MusicClip(entry, arrays["features"], arrays["source_frame"], arrays["beats_s"], arrays["lock"])


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


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[MusicEntry]:
    """Makes renderings in this process or several, yielding each as it is done."""
    if workers == 1 or len(jobs) <= 1:
        libraries: dict[str, GrooveLibrary] = {}
        for job in jobs:
            split = job.clip.split
            libraries[split] = libraries.get(split) or GrooveLibrary(job.data_dir, split)
            yield make_rendering(job, libraries[split])
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        for done in as_completed([pool.submit(make_rendering, job) for job in jobs]):
            yield done.result()


def make_rendering(job: _Job, library: GrooveLibrary | None = None) -> MusicEntry:
    """Bends a clip onto a grid, renders music for it, extracts its features and writes them.

    Args:
        job: What to make.
        library: Drum takes; read anew where not given.

    Returns:
        The entry of the index.

    Raises:
        ConfigError: If FluidSynth, the drum takes or the clip are missing.
    """
    clip = load_clip(job.store_dir, job.clip)
    seed = int.from_bytes(hashlib.sha256(f"{job.clip.clip_id}|{job.rendering}".encode()).digest()[:6], "big")
    generator = np.random.default_rng(seed)
    fit = fit_rendering(clip, job.rendering, generator)
    entry = MusicEntry(
        name=job.name,
        key=job.key,
        clip_id=job.clip.clip_id,
        split=job.clip.split,
        pairing_class=job.clip.pairing_class,
        rendering=job.rendering,
        is_paired=False,
    )
    if fit is None:
        return entry
    joints_m = forward_kinematics(clip.root_m, clip.joint_wxyz)
    energy = float(np.clip((mean_speed(joints_m).mean() * fit.speed - 0.2) / 1.0, 0.0, 1.0))
    num_frames = len(fit.source_frame)
    library = library or GrooveLibrary(job.data_dir, job.clip.split)
    styles = styles_for(job.clip.style) if job.rendering % 3 else ANY_STYLES
    for attempt in range(MAX_ATTEMPTS):
        piece = Piece(fit.beats_s, num_frames / FPS, styles, energy, seed + attempt)
        rendering = render(piece, library)
        rows = extract(rendering.samples)[rendering.first_row : rendering.first_row + num_frames]
        clock = _clock_errors(rows, fit)
        if clock.is_usable or generator.random() < KEEP_MISHEARD:
            break
    partial = job.out_dir / f"{job.name}.partial"
    with partial.open("wb") as stream:
        np.savez(stream, features=rows, source_frame=fit.source_frame, beats_s=fit.beats_s, lock=fit.lock)
    os.replace(partial, job.out_dir / f"{job.name}.npz")
    return replace(
        entry,
        is_paired=True,
        num_frames=num_frames,
        bpm=fit.bpm * fit.speed,
        speed=fit.speed,
        shift_p=fit.shift_p,
        refit_p=fit.refit_p,
        on_beat=fit.on_beat,
        residual_ms=fit.residual_ms,
        offset_ms=fit.offset_ms,
        concentration=fit.concentration,
        density=fit.density,
        music_style=rendering.style,
        drums=rendering.drums,
        effects=rendering.effects,
        clock_ms=clock.median_ms,
        clock_p90_ms=clock.p90_ms,
        clock_bias_ms=clock.bias_ms,
        clock_tempo=clock.tempo,
        clock_ratio=clock.ratio,
    )


def fit_rendering(clip: Clip, rendering: int, generator: np.random.Generator) -> BeatFit | None:
    """Grid, speed and accent of a rendering; every third one takes slow music, the others fast, where the clip allows.

    Args:
        clip: A clip of class A or B.
        rendering: Number of the rendering.
        generator: Source of chance.

    Returns:
        The fit, or ``None`` when no grid is accepted.
    """
    joints_m = np.asarray(forward_kinematics(clip.root_m, clip.joint_wxyz), dtype=np.float32)
    ranges = (FAST_BPM, SLOW_BPM) if rendering % 3 != 1 else (SLOW_BPM, FAST_BPM)
    low, high = np.log(SPEED_RANGE)
    speeds = np.exp(generator.uniform(float(low), float(high), NUM_SPEEDS)).tolist()
    accent = float(generator.uniform(*ACCENT_RANGE))
    for range_bpm in ranges:
        entry = clip.entry
        fit = find_grid(
            entry.clip_id,
            entry.pairing_class,
            entry.tempo_bpm,
            joints_m,
            range_bpm=range_bpm,
            speeds=speeds,
            accent=accent,
        )
        if fit is not None:
            return fit
    return None


@dataclass(frozen=True, slots=True)
class _Clock:
    """How the beat clock did on a rendering; see ``MusicEntry``."""

    median_ms: float
    p90_ms: float
    bias_ms: float
    tempo: float
    ratio: float

    @property
    def is_usable(self) -> bool:
        """Whether the tempo is right or doubled or halved: the half-beat is then right too."""
        return self.tempo > 0.5 or min(abs(self.ratio - 2.0), abs(self.ratio - 0.5)) < 0.03


def _clock_errors(rows: F32, fit: BeatFit) -> _Clock:
    """Errors of the clock against the grid, modulo half a beat, in rows that are sure and have the right tempo."""
    bpm = fit.bpm * fit.speed
    times_s = np.arange(len(rows)) / FPS
    ratio = REFERENCE_BPM * 2.0 ** rows[:, COLUMNS["tempo"]][:, 0].astype(np.float64) / bpm
    sine, cosine = rows[:, COLUMNS["beat2"]].T.astype(np.float64)
    sure = (np.hypot(sine, cosine) > 0.1) & (np.abs(ratio - 1.0) < 0.03)
    if not sure.any() or len(fit.beats_s) == 0:
        return _Clock(0.0, 0.0, 0.0, 0.0, float(np.median(ratio)))
    half_turns = 2.0 * (times_s - fit.beats_s[0]) * bpm / 60.0
    error = (half_turns - np.arctan2(sine, cosine) / (2.0 * np.pi) + 0.5) % 1.0 - 0.5
    error_ms = 1000.0 * error[sure] * 30.0 / bpm
    size = np.abs(error_ms)
    return _Clock(
        median_ms=float(np.median(size)),
        p90_ms=float(np.percentile(size, 90)),
        bias_ms=float(np.median(error_ms)),
        tempo=float(np.mean(sure)),
        ratio=float(np.median(ratio)),
    )


def _write_index(folder: Path, entries: Sequence[MusicEntry]) -> None:
    """Writes the index, whole or not at all."""
    partial = folder / f"{INDEX_NAME}.partial"
    document = {"renderings": [asdict(entry) for entry in entries]}
    partial.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, folder / INDEX_NAME)
