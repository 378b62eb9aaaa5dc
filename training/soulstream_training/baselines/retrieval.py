"""Clip retrieval: whichever dance has the music most like what was just heard, warped in time to fall on the beats.

What is compared is plain: means of feature rows over five seconds, no network. The motion is that of the training
renderings, whose rests lie on beats; it is played so that its beats meet those of the song, as the beat clock expects
them. Nothing is shipped: store and music are read when the dancer is made. Not for: retrieval by a model (MMR,
``evaluation.retrieve``).

Letters: T frames, F music columns, N windows of the gallery, C compared columns, D motion columns (263, the body).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import LOCK_CONFIDENCE
from soulstream_engine.features.extrapolate import read_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_training.recipes.mmr_pairs import Pair, load_pairs

from .common import Danced
from .plain import BLEND_FRAMES, cross_fade, played

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

HEARD_FRAMES = 5 * FPS
"""What is compared: the music of the last five seconds."""

DECIDE_FRAMES = 8 * FPS
"""Time from one decision to the next, less where a dance ends before."""

HOP_FRAMES = 75
"""From one window of the gallery to the next (ours)."""

CATCH_UP = 0.1
"""Share of the distance to the song's beat that is made up each frame: a third of a second to be there (ours)."""

MAX_CATCH_UP = 0.2
"""Most by which catching up changes the pace; as far as renderings are bent to fit their music."""

UNLIKE = 3.0
"""Deviations beyond which music is no more unlike in a column: no single one may decide (ours)."""

_LEFT_OUT = ("beat", "beat2", "confidence", "next_beat", "heard")
_COMPARED = np.setdiff1d(np.arange(NUM_FEATURES), np.concatenate([np.r_[COLUMNS[name]] for name in _LEFT_OUT]))
"""Columns of the music itself: not where in the beat it is, nor how sure of that the clock is."""

_FADING_FRAMES = 2 * BLEND_FRAMES  # kept at the end of a dance, to fade out at up to twice its pace


@dataclass(frozen=True, slots=True)
class _Piece:
    """A dance of the gallery: ``rows`` [T, D], and ``beats`` [T], the beat number of each row, or ``None``."""

    clip_id: str
    rows: F32
    beats: F64 | None
    bpm: float


@dataclass(slots=True)
class _Play:
    """A piece that is played from a frame of the song on."""

    piece: _Piece
    start: int
    position: float
    at: list[float] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)

    def is_over(self, frame: int) -> bool:
        """Whether it is time for another."""
        return frame - self.start >= DECIDE_FRAMES or self.position > len(self.piece.rows) - 1 - _FADING_FRAMES

    def step(self, phase: float, bpm: float, confidence: float) -> None:
        """Shows a frame, and goes on to the next as the beat clock tells at this one."""
        pace = 1.0
        if confidence >= LOCK_CONFIDENCE and self.piece.beats is not None:
            count = _beats_a_beat(self.piece, bpm)
            own = float(np.interp(self.position, np.arange(len(self.piece.beats)), self.piece.beats))
            late = (phase - own / count + 0.5) % 1.0 - 0.5
            wanted = count * bpm / 60.0 / FPS
            caught_up = float(np.clip(CATCH_UP * late * count / wanted, -MAX_CATCH_UP, MAX_CATCH_UP))
            pace = wanted * (1.0 + caught_up) * 60.0 * FPS / self.piece.bpm
        self.at.append(self.position)
        self.paces.append(pace)
        self.position = min(self.position + pace, len(self.piece.rows) - 1.0)

    def shown(self) -> F32:
        """Rows of all frames it was played for."""
        return played(self.piece.rows, np.array(self.at), np.array(self.paces))

    def fading(self, frames: int) -> F32:
        """Rows of the frames after, at the pace it had."""
        last = len(self.piece.rows) - 1.0
        at = self.position + self.paces[-1] * np.arange(frames)
        return played(self.piece.rows, np.minimum(at, last), np.where(at < last, self.paces[-1], 0.0))


class RetrievalDancer:
    """Dances what fits the music, found anew every eight seconds, never the clip that was just danced.

    The seed chooses at which beat of the dance that was found she enters it.

    Args:
        store: Prepared motion.
        music: Renderings made for it; those of the split ``train`` are the gallery.

    Raises:
        ConfigError: If there is nothing to dance.
    """

    wait_s = 0.0

    def __init__(self, store: Path, music: Path) -> None:
        pairs = [pair for pair in load_pairs(store, music, ("train",)) if len(pair.rows) >= HEARD_FRAMES]
        if not pairs:
            raise ConfigError(
                "GALLERY_EMPTY",
                f"'{music}' has no rendering with {HEARD_FRAMES / FPS:.0f} s of dance in the split train.",
                "Prepare longer clips.",
            )
        self._pieces = [_piece(pair) for pair in pairs]
        windows = [_windows(pair.music[pair.first : pair.first + len(pair.rows)]) for pair in pairs]
        self._owner = np.repeat(np.arange(len(pairs)), [len(means) for means in windows])
        means = np.concatenate(windows)
        self._mean, self._std = means.mean(0), np.maximum(means.std(0), 0.01)
        self._gallery = (means - self._mean) / self._std

    def dance(self, music: F32, seed: int) -> Danced:
        """Dances to ``music`` [T, F]; row t of the dance is made of music rows up to t.

        Returns:
            Rows [T, 263]; ``edges`` are the frames at which a dance was entered.
        """
        generator = np.random.default_rng(seed)
        clock = np.stack(read_clock(music), axis=1).tolist()
        plays: list[_Play] = []
        for frame, (phase, bpm, confidence) in enumerate(clock):
            if not plays or plays[-1].is_over(frame):
                heard = music[max(0, frame + 1 - HEARD_FRAMES) : frame + 1]
                piece = self._find(heard, plays[-1].piece.clip_id if plays else "")
                is_sure = confidence >= LOCK_CONFIDENCE
                plays.append(_Play(piece, frame, _entered(piece, phase if is_sure else None, bpm, generator.random())))
            plays[-1].step(phase, bpm, confidence)
        stretches = [play.shown() for play in plays]
        for before, rows in zip(plays, stretches[1:], strict=False):
            frames = min(BLEND_FRAMES, len(rows))
            rows[:frames] = cross_fade(before.fading(frames), rows[:frames])
        return Danced(np.concatenate(stretches), np.array([play.start for play in plays], np.int64))

    def _find(self, heard: F32, danced_clip: str) -> _Piece:
        """The dance whose music is most like what was heard [T, F]; another than was just danced, where there is."""
        asked = np.clip((heard[:, _COMPARED].mean(0) - self._mean) / self._std, -UNLIKE, UNLIKE)
        distance = np.sum((self._gallery - asked) ** 2, axis=1)
        is_other = np.array([piece.clip_id != danced_clip for piece in self._pieces])
        if is_other.any():
            distance[~is_other[self._owner]] = np.inf
        return self._pieces[self._owner[int(np.argmin(distance))]]


def _piece(pair: Pair) -> _Piece:
    """A pair without its music; of a recording nobody knows the beats, and it is danced at its own pace."""
    beats_s, times = pair.beats_s, (pair.first + np.arange(len(pair.rows))) / FPS
    if len(beats_s) < 2:
        return _Piece(pair.entry.clip_id, pair.rows, None, pair.entry.bpm)
    beat_s = float(beats_s[-1] - beats_s[0]) / (len(beats_s) - 1)
    beats = np.interp(times, beats_s, np.arange(len(beats_s)))
    beats += (np.minimum(times - beats_s[0], 0.0) + np.maximum(times - beats_s[-1], 0.0)) / beat_s
    return _Piece(pair.entry.clip_id, pair.rows, beats, 60.0 / beat_s)


def _windows(rows: F32) -> F64:
    """Mean of the compared columns over each window: [N, C]."""
    total = np.cumsum(np.concatenate([np.zeros((1, len(_COMPARED))), rows[:, _COMPARED]]), axis=0)
    starts = np.arange(0, len(rows) - HEARD_FRAMES + 1, HOP_FRAMES)
    means: F64 = (total[starts + HEARD_FRAMES] - total[starts]) / HEARD_FRAMES
    return means


def _beats_a_beat(piece: _Piece, bpm: float) -> float:
    """Beats of the piece danced on a beat of the song: 1, or a power of two where its own pace is nearer to that."""
    return float(2.0 ** np.round(np.log2(piece.bpm / bpm)))


def _entered(piece: _Piece, phase: float | None, bpm: float, chance: float) -> float:
    """Row at which a piece is entered: at a beat, in step with the song, early enough to last until the next choice."""
    pace = _beats_a_beat(piece, bpm) * bpm / piece.bpm if phase is not None else 1.0
    latest = len(piece.rows) - 1 - _FADING_FRAMES - DECIDE_FRAMES * pace * (1.0 + MAX_CATCH_UP)
    row = chance * max(latest, 0.0)
    if piece.beats is None:
        return row
    rows = np.arange(len(piece.rows))
    count = _beats_a_beat(piece, bpm) if phase is not None else 1.0
    beat = float(np.interp(row, rows, piece.beats)) / count
    beat = np.ceil(beat - (phase or 0.0)) + (phase or 0.0)
    return float(np.interp(beat * count, piece.beats, rows))
