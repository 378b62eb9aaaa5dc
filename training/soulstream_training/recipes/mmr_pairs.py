"""Pairs of dance and music for the retrieval model: whole stretches, and batches of windows drawn from them.

Every rendering has music of its own, so it counts as a song of its own; recordings that people danced to are the same
song in all of their renderings. Not for: the sampler's windows of codes (``paired``).

Letters: B batch, S shifted copies, T frames of a window, U frames of a rendering, D motion columns, F music columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.mirror import MIRROR_JOINTS
from soulstream_training.data.music_index import INDEX_NAME, MusicEntry, load_music, read_music_index
from soulstream_training.data.npy_guard import read_npy
from soulstream_training.data.store import Clip, load_store

from .bent_motion import bent_rows
from .motion_rows import MIRRORED_FACES, RULE_WEIGHT, Stretch, column_weights, mirrored

F32 = NDArray[np.float32]

SHIFT_BEATS = (0.25, 0.75)
"""How far shifted music is off the beat, either way (ours): a quarter is as far as a dancer may be early or late."""

MAKE_MUSIC = "Run soulstream-train data music first; with --test for the test split."

MAX_HEAVY_BYTES = 2_000_000_000
"""Largest file of offline features: half an hour of Jukebox's 4,800 columns in half precision is 520 MB."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One clean stretch of a rendering.

    ``rows`` [T, D] float32; ``music`` [U, F] float32 of the whole rendering, ``first`` its row at row 0 of the motion;
    ``beats_s`` [B] seconds of the rendering; ``worth`` [D] of the columns; ``song`` equal for equal music; ``take``
    equal for dancers who were recorded together; ``heavy`` [U, H] offline features of the same frames, or ``None``.
    """

    entry: MusicEntry
    style: str
    song: str
    take: str
    rows: F32
    music: F32
    first: int
    beats_s: NDArray[np.float64]
    worth: F32
    heavy: F32 | None = None

    @property
    def beat_frames(self) -> float:
        """Length of a beat."""
        return 60.0 * FPS / self.entry.bpm


def load_pairs(
    store_dir: Path, music_dir: Path, splits: Sequence[str], columns: str = "body", heavy_dir: Path | None = None
) -> list[Pair]:
    """Every clean stretch of every rendering of the splits.

    Args:
        store_dir: Prepared motion.
        music_dir: Renderings made for it.
        splits: Of the store.
        columns: ``body``, ``none`` (body and hands) or a face space.
        heavy_dir: Folder with offline features, ``NAME.npy`` [U, H] float16 or float32 for each rendering, one row a
            frame; ``None``: there are none.

    Raises:
        ConfigError: If there is no pair, or offline features do not fit their rendering.
    """
    if not (music_dir / INDEX_NAME).is_file():
        raise ConfigError("PAIRS_EMPTY", f"There is no music in '{music_dir}'.", MAKE_MUSIC)
    clips = {clip.entry.clip_id: clip for clip in load_store(store_dir, tuple(splits))}
    found = []
    for entry in read_music_index(music_dir):
        if not entry.is_paired or entry.clip_id not in clips:
            continue
        clip, music = clips[entry.clip_id], load_music(music_dir, entry)
        heavy = None if heavy_dir is None else _heavy(heavy_dir / f"{entry.name}.npy", entry.num_frames)
        worth = _worth(clip, entry.is_mirrored, columns)
        label = clip.entry
        is_real = entry.pairing_class == "real"
        song = (label.song or label.music) if is_real else entry.name
        take = label.take or "+".join(sorted((label.clip_id, label.partner_id or "")))
        for frames, rows in bent_rows(clip, music, columns):
            found.append(
                Pair(
                    entry, label.style, song, take, rows, music.features, frames.start, music.beats_s,
                    worth[: rows.shape[1]], heavy,
                )
            )  # fmt: skip
    if not found:
        raise ConfigError(
            "PAIRS_EMPTY",
            f"'{music_dir}' has no music for the splits {', '.join(splits)} of '{store_dir}'.",
            MAKE_MUSIC,
        )
    return found


def as_stretch(pair: Pair) -> Stretch:
    """A pair as the motion statistics take it."""
    return Stretch(pair.entry.clip_id, pair.style, pair.entry.split, False, pair.first, pair.rows, weight=pair.worth)


def _worth(clip: Clip, is_mirrored: bool, columns: str) -> F32:
    captured = clip.captured[MIRROR_JOINTS] if is_mirrored else clip.captured
    made = clip.synthetic.any(axis=0) if columns != "body" else np.zeros(2, np.bool_)
    hands, face = np.where(made, RULE_WEIGHT, 1.0).tolist()
    if is_mirrored and columns not in MIRRORED_FACES:
        face = 0.0
    width = 263 if columns == "body" else 723
    return column_weights(captured, width, hands, face)


def _heavy(path: Path, num_frames: int) -> F32:
    heavy = read_npy(path, max_bytes=MAX_HEAVY_BYTES)
    if heavy.ndim != 2 or len(heavy) != num_frames or heavy.dtype.kind != "f":
        raise ConfigError(
            "HEAVY_FEATURES",
            f"'{path.name}' holds {list(heavy.shape)} {heavy.dtype}, not [{num_frames}, H] floats.",
            "Write one row for each frame (30 a second) of the rendering.",
        )
    return np.asarray(heavy, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Windows.

    ``motion`` [B, T, D] with ``worth`` [B, D], ``music`` [B, T, F], ``shifted`` [S, B, T, F] the same music off its
    beat, ``song`` [B], ``start_s`` [B], ``embedding`` [B, F] music averaged over time, of deviation 1, and ``heavy``
    [B, T, H] or ``None``.
    """

    motion: Tensor
    worth: Tensor
    music: Tensor
    shifted: Tensor
    song: Tensor
    start_s: Tensor
    embedding: Tensor
    heavy: Tensor | None


class PairSampler:
    """Draws windows, every start equally likely within a style, one style held to at most a share.

    Args:
        pairs: Where windows come from; shorter ones are left out.
        frames: Longest window.
        columns: Of the motion, for its mirror image.
        capped_style: Style whose share is limited.
        cap: Largest share of windows of that style.

    Raises:
        ConfigError: If no pair is long enough.
    """

    def __init__(
        self, pairs: Sequence[Pair], frames: int, columns: str = "body", capped_style: str = "salsa", cap: float = 0.5
    ) -> None:
        self.pairs = [pair for pair in pairs if len(pair.rows) >= frames]
        if not self.pairs:
            raise ConfigError("WINDOWS_EMPTY", f"No stretch has {frames} rows.", "Use shorter windows.")
        self.frames, self.columns = frames, columns
        songs = {song: number for number, song in enumerate(dict.fromkeys(pair.song for pair in self.pairs))}
        self.song = np.array([songs[pair.song] for pair in self.pairs])
        counts = np.array([len(pair.rows) - frames + 1 for pair in self.pairs], dtype=np.float64)
        capped = np.array([pair.style == capped_style for pair in self.pairs])
        share = float(counts[capped].sum() / counts.sum())
        if share > cap:
            counts[capped] *= cap / share
            counts[~capped] *= (1.0 - cap) / max(1.0 - share, 1e-9)
        self.cumulative = np.cumsum(counts)
        rows = np.concatenate([pair.music for pair in self.pairs])
        self.music_mean, self.music_std = rows.mean(0), np.maximum(rows.std(0), 0.1)
        self.is_mirrorable = columns in ("body", *MIRRORED_FACES)

    def draw(self, batch: int, frames: int, num_shifted: int, generator: torch.Generator) -> PairBatch:
        """A batch of windows of ``frames`` rows, each mirrored or not; all randomness from ``generator``.

        A mirror image dances to the same music as well: half of the windows are shown in the mirror.
        """
        dice = torch.rand(batch, 3 + 2 * num_shifted, generator=generator, dtype=torch.double).numpy()
        picks = np.minimum(np.searchsorted(self.cumulative, dice[:, 0] * self.cumulative[-1]), len(self.pairs) - 1)
        motion, worth, music, shifted, heavy, starts = [], [], [], [], [], []
        for chance, pick in zip(dice, picks, strict=True):
            pair = self.pairs[pick]
            start = min(int(chance[1] * (len(pair.rows) - frames + 1)), len(pair.rows) - frames)
            rows = pair.rows[start : start + frames]
            motion.append(mirrored(rows, self.columns) if self.is_mirrorable and chance[2] < 0.5 else rows)
            worth.append(pair.worth)
            heard = pair.first + start
            starts.append(heard / FPS)
            music.append(pair.music[heard : heard + frames])
            if pair.heavy is not None:
                heavy.append(pair.heavy[heard : heard + frames])
            low, high = SHIFT_BEATS
            for u, side in chance[3:].reshape(num_shifted, 2):
                beats = (low + u * (high - low)) * (1.0 if side < 0.5 else -1.0)
                shifted.append(shifted_music(pair, heard, frames, beats))
        heard_rows = torch.from_numpy(np.stack(music))
        off = np.stack(shifted) if shifted else np.zeros((0, frames, heard_rows.shape[2]), np.float32)
        order = torch.from_numpy(off).unflatten(0, (batch, num_shifted)).transpose(0, 1)
        mean = (heard_rows.mean(1) - torch.from_numpy(self.music_mean)) / torch.from_numpy(self.music_std)
        return PairBatch(
            torch.from_numpy(np.stack(motion)),
            torch.from_numpy(np.stack(worth)),
            heard_rows,
            order,
            torch.from_numpy(self.song[picks]),
            torch.tensor(starts),
            mean,
            torch.from_numpy(np.stack(heavy)) if heavy else None,
        )


def shifted_music(pair: Pair, heard: int, frames: int, beats: float) -> F32:
    """Music of a window moved by beats, which may be a fraction.

    Args:
        pair: The rendering.
        heard: Its music row at the window's first frame.
        frames: Rows of the window.
        beats: How much later (positive) or earlier in the piece to read. Where that leaves the rendering, its first or
            last row is repeated.

    Returns:
        [frames, F].
    """
    index = heard + round(beats * pair.beat_frames) + np.arange(frames)
    return pair.music[np.clip(index, 0, len(pair.music) - 1)]
