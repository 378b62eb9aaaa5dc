"""From feature frames to motion: when to tick, what music to show, and how codes become motion rows.

Frames and tokens: an *epoch* starts at motion frame ``first_frame`` and token i covers its frames 4 i .. 4 i + 3. A
tick runs as soon as the music is heard up to ``lead_frames`` before the first frame that it plans; everything later is
extrapolated by the same code as in training. Nothing here waits, reads a clock or draws from a global random state:
equal feature frames and an equal seed give equal codes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import InvariantError
from soulstream_engine.features.extrapolate import extrapolate, read_clock, write_clock
from soulstream_engine.frames import FeatureFrame, MotionChunk

from .foresight import Foresight
from .masked import Codes, SamplerSettings
from .schedule import F32
from .window import Arrays, RunStep, TokenWindow, WindowShape

FRAMES_PER_TOKEN = 4
DECODER_STEP = "decoder"

PlanSource = Callable[[int, F32, NDArray[np.bool_]], Codes]
"""(tick number, rows, rows_valid) -> plans [C, P, planned, Q], chosen from and danced in place of the sampler's."""


@dataclass(frozen=True, slots=True)
class DancerSettings:
    """Timing of a dancer.

    ``lead_frames`` frames between the last heard frame and the first planned one; ``look_ahead_frames`` delay of the
    decoder (its output row i is frame i - look_ahead); ``beat_offset_s`` seconds by which the beat clock runs ahead
    when the network sees it (positive: accents come earlier), measured on tuning tracks.
    """

    lead_frames: int
    look_ahead_frames: int
    beat_offset_s: float = 0.0


class Dancer:
    """Listens to feature frames, emits motion chunks.

    Args:
        shape: Sizes of a tick.
        run_step: The network.
        decoder_states: Initial states of the decoder step by name, zeros of the right shapes.
        settings: Timing.
        sampler: How codes are drawn.
        seed: Seed of all draws.
        plan_source: Replaces the sampler (controls of an evaluation: random codes instead of the network's).
    """

    def __init__(
        self,
        shape: WindowShape,
        run_step: RunStep,
        decoder_states: Arrays,
        settings: DancerSettings,
        sampler: SamplerSettings,
        seed: int,
        plan_source: PlanSource | None = None,
    ) -> None:
        self.shape = shape
        self.settings = settings
        self._run = run_step
        self._window = TokenWindow(shape, run_step, seed, sampler)
        self._foresight = Foresight(settings.look_ahead_frames)
        self._plan_source = plan_source
        self._initial = decoder_states
        self._decoder_states = dict(decoder_states)
        keep_tokens = shape.commit + shape.fresh
        self._history: deque[F32] = deque(maxlen=keep_tokens * FRAMES_PER_TOKEN)
        self._heard = -1
        self._epoch = 0
        self._epoch_tick = -1
        self._ticks = 0
        self._next_frame: int | None = None
        self._given_until = 0

    @property
    def is_dancing(self) -> bool:
        """Whether an epoch is running."""
        return self._next_frame is not None

    @property
    def commit_frames(self) -> int:
        """Frames committed by one tick."""
        return self.shape.commit * FRAMES_PER_TOKEN

    def listen(self, frame: FeatureFrame) -> None:
        """Remember a feature frame without dancing to it (also the first half of ``push``).

        Raises:
            ValueError: If a frame index is skipped or repeated.
        """
        if self._heard >= 0 and frame.index != self._heard + 1:
            raise ValueError(f"feature frame {frame.index} must follow {self._heard}")
        self._history.append(np.asarray(frame.values, np.float32))
        self._heard = frame.index

    def start(self) -> int:
        """Begin an epoch; returns its first motion frame.

        Its tick runs when the next frame has been heard, and that frame and the lead lie before it. After a pause
        shorter than what was already given out it is the next frame that was not: no frame is planned twice.
        """
        self._window.reset()
        self._foresight.reset()
        self._decoder_states = dict(self._initial)
        self._epoch += 1
        self._epoch_tick = 0
        self._next_frame = max(self._heard + 2 + self.settings.lead_frames, self._given_until)
        return self._next_frame

    def stop(self) -> None:
        """End the epoch (silence): nothing more is planned until ``start``."""
        self._next_frame = None

    def push(self, frame: FeatureFrame) -> MotionChunk | None:
        """Hear one frame; return motion if a tick was due.

        Args:
            frame: The next feature frame; indices follow each other.

        Returns:
            The committed frames, or ``None``. Chunks of one epoch follow each other without gaps; the first lacks the
            ``look_ahead_frames`` that the decoder still owes. If the network's scores or motion are not finite, neither
            is the chunk: its frames are due all the same, and the receiver fills them and starts anew.
        """
        self.listen(frame)
        if self._next_frame is None or self._heard + 1 + self.settings.lead_frames < self._next_frame:
            return None
        first = self._next_frame
        rows, valid = self._music_for(first)
        try:
            codes, motion = self._dance(rows, valid)
        except InvariantError:
            shape = self.shape
            plans = np.zeros((shape.candidates, shape.num_parts, shape.planned, shape.levels), np.int64)
            codes = plans[0, :, : shape.commit].transpose(0, 2, 1)
            motion = np.full_like(self._decode(plans)["motion"][0, : self.commit_frames], np.nan)
        start = first - self.settings.look_ahead_frames
        if self._epoch_tick == 0:
            motion = motion[self.settings.look_ahead_frames :]
            start = first
        self._ticks += 1
        self._epoch_tick += 1
        self._next_frame = first + self.commit_frames
        self._given_until = start + len(motion)
        return MotionChunk(motion, start, self._epoch, codes.astype(np.int32))

    def _music_for(self, first: int) -> tuple[F32, NDArray[np.bool_]]:
        """Rows of the music tokens around frame ``first``: heard where heard, extrapolated after."""
        shape = self.shape
        num_tokens = shape.commit + shape.fresh
        row_from = first - (shape.commit + shape.fresh_past) * FRAMES_PER_TOKEN
        total = num_tokens * FRAMES_PER_TOKEN
        heard = np.stack(self._history)
        first_heard = self._heard + 1 - heard.shape[0]
        future = first + shape.planned * FRAMES_PER_TOKEN - 1 - self._heard
        known = np.concatenate([heard, extrapolate(heard[-1], future)])
        rows = np.zeros((total, known.shape[1]), np.float32)
        exists = np.zeros(total, dtype=np.bool_)
        skip = max(0, row_from - first_heard)
        put = max(0, first_heard - row_from)
        rows[put:] = known[skip : skip + total - put]
        exists[put:] = True
        if self.settings.beat_offset_s:
            phase, bpm, confidence = read_clock(rows)
            write_clock(rows, phase + bpm / 60.0 * self.settings.beat_offset_s, bpm, confidence)
        shaped = rows.reshape(num_tokens, FRAMES_PER_TOKEN, -1)
        return shaped, np.asarray(exists.reshape(num_tokens, FRAMES_PER_TOKEN).all(axis=1))

    def _dance(self, rows: F32, valid: NDArray[np.bool_]) -> tuple[Codes, F32]:
        """Committed codes [P, Q, commit] of one tick and their motion rows [4 commit, D]."""
        source = self._window.plan if self._plan_source is None else self._plan_source
        plans = source(self._ticks, rows, valid)
        decoded = self._decode(plans)
        clock = read_clock(rows[-self.shape.planned :].reshape(-1, rows.shape[-1]))
        choice = self._foresight.choose(decoded["pace"], *clock)
        if self._plan_source is None:
            self._window.commit(plans[choice])
        motion = self._take(decoded, choice)
        return plans[choice, :, : self.shape.commit].transpose(0, 2, 1), motion

    def _decode(self, plans: Codes) -> Arrays:
        """Motion rows [C, 4 planned, D], pace [C, 4 planned] and next states of every plan."""
        given = {"codes": np.ascontiguousarray(plans, np.int64), "kept": np.array([self.shape.commit], np.int64)}
        return self._run(DECODER_STEP, self._decoder_states | given)

    def _take(self, decoded: Arrays, choice: int) -> F32:
        """Go on from one plan: its states for all plans of the next tick, its motion to be shown."""
        for name in self._decoder_states:
            state = decoded[f"next_{name}"]
            self._decoder_states[name] = np.repeat(state[choice : choice + 1], len(state), axis=0)
        self._foresight.danced(decoded["pace"][choice], self.commit_frames)
        return np.asarray(decoded["motion"][choice, : self.commit_frames], np.float32)
