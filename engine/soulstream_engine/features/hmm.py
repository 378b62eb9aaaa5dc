"""Bar-pointer hidden Markov model with one-beat states: where in the beat is the music, and how long is a beat.

State (n, i): beat length ``n`` steps of 10 ms (28..109, that is 214-55 BPM), position ``i < n``. Each step moves the
position by one; at the end of a beat the length may change a little. Forward algorithm only, so it is causal.
Not for: choosing between tempo hypotheses from periodicity alone (``tempogram``). Source of every number: ours,
measured; the template was learned from drum recordings only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.features.onsets import STEP_RATE

F32 = NDArray[np.float32]

MIN_STEPS = 28
MAX_STEPS = 109
LENGTHS: NDArray[np.int64] = np.arange(MIN_STEPS, MAX_STEPS + 1)
"""Beat lengths [82] in steps of 10 ms."""

NUM_STATES = int(LENGTHS.sum())
"""5617 states."""

LENGTH_BPM: NDArray[np.float64] = 60.0 * STEP_RATE / LENGTHS
"""Tempo of each beat length [82], beats a minute."""

TEMPLATE: F32 = np.array(
    [
        0.67, 0.78, 0.37, -0.04, -0.21, -0.24, -0.23, -0.17, -0.10, -0.06, -0.06, -0.15, -0.19, -0.19, -0.10, 0.10,
        0.34, 0.36, 0.06, -0.15, -0.20, -0.19, -0.14, -0.06, 0.03, 0.06, -0.01, -0.16, -0.21, -0.18, -0.03, 0.28,
    ],
    dtype=np.float32,
)  # fmt: skip
"""Expected onset strength [32] around the beat, the same for every band group."""

KAPPA = 0.2
LAMBDA = 100.0
LEAK = 1e-6
PRIOR_BPM = 130.0
PRIOR_OCTAVES = 0.5

_HISTOGRAM = 64
_REACH = 6.5 / _HISTOGRAM


@dataclass(frozen=True, slots=True)
class Belief:
    """Read-out of one model: ``phase`` in turns at the last step, ``bpm``, and how sure.

    ``mass`` is the probability of the chosen beat lengths (five neighbours), ``focus`` the share of it near the phase.
    """

    phase: float
    bpm: float
    mass: float
    focus: float


class BeatHmm:
    """Belief [5617] over beat length and position; one ``step`` every 10 ms."""

    def __init__(self) -> None:
        self._index = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
        self._starts = np.concatenate([[0], np.cumsum(LENGTHS)[:-1]])
        self._ends = self._starts + LENGTHS - 1
        position = np.arange(NUM_STATES) - np.repeat(self._starts, LENGTHS)
        self._phase = (position + 0.5) / np.repeat(LENGTHS, LENGTHS)
        self._template_bin = (self._phase * len(TEMPLATE)).astype(np.intp)
        self._phase_bin = (self._phase * _HISTOGRAM).astype(np.intp)
        ratio = LENGTHS[None, :] / LENGTHS[:, None]
        change = np.exp(-LAMBDA * np.abs(ratio - 1.0))
        self._change = (change / change.sum(axis=1, keepdims=True)).astype(np.float32)
        octaves = np.log2(LENGTH_BPM / PRIOR_BPM) / PRIOR_OCTAVES
        per_length = np.exp(-0.5 * octaves**2)
        self._start_prior = self._spread(per_length)
        self._leak = LEAK * self._start_prior
        self._state = self._start_prior.copy()
        self._next = np.empty_like(self._state)
        self._likelihood = np.empty(NUM_STATES, np.float32)

    def step(self, strength: float) -> None:
        """One 10 ms step.

        Args:
            strength: Sum of the standardised onset strengths of the four band groups.
        """
        state, nxt = self._state, self._next
        nxt[1:] = state[:-1]
        nxt[self._starts] = state[self._ends] @ self._change
        np.take(np.exp(np.float32(KAPPA * strength) * TEMPLATE), self._template_bin, out=self._likelihood, mode="clip")
        nxt *= self._likelihood
        nxt *= np.float32(1.0 - LEAK) / nxt.sum()
        nxt += self._leak
        self._state, self._next = nxt, state

    def weigh(self, factor: NDArray[np.float64]) -> None:
        """Multiply the probability of each beat length by positive factors [82]."""
        self._state *= factor.astype(np.float32)[self._index]
        self._state /= self._state.sum()

    def restrict(self, allowed: NDArray[np.bool_] | None) -> None:
        """Let new hypotheses start only at allowed beat lengths [82]; ``None`` allows all."""
        prior = self._start_prior
        if allowed is not None and allowed.any():
            prior = prior * allowed[self._index]
            prior = prior / prior.sum()
        self._leak = (LEAK * prior).astype(np.float32)

    def seed(self, bpm: float, phase: float | None, *, octaves: float = 0.03, turns: float = 0.05) -> None:
        """Start again around a tempo and, if given, a phase at the last step.

        Args:
            bpm: Beats a minute.
            phase: Turns, or ``None`` for any phase.
            octaves: Width of the belief in tempo.
            turns: Width of the belief in phase.
        """
        distance = np.log2(LENGTH_BPM / bpm)
        seeded = self._spread(np.exp(-0.5 * (distance / octaves) ** 2)).astype(np.float64)
        if phase is not None:
            off = np.mod(self._phase - phase + 0.5, 1.0) - 0.5
            seeded *= np.exp(-0.5 * (off / turns) ** 2)
        seeded /= seeded.sum()
        self._state[:] = seeded * (1.0 - LEAK) + self._leak

    def read(self) -> Belief:
        """Tempo and phase at the last step."""
        state = self._state
        own = np.add.reduceat(state, self._starts).astype(np.float64)
        best = int(np.argmax(own[:-2] + own[1:-1] + own[2:])) + 1
        low, high = max(best - 2, 0), min(best + 2, len(LENGTHS) - 1)
        weights = own[low : high + 1]
        mass = float(weights.sum())
        bpm = 60.0 * STEP_RATE * mass / float(weights @ LENGTHS[low : high + 1])
        chosen = slice(int(self._starts[low]), int(self._ends[high]) + 1)
        histogram = np.bincount(self._phase_bin[chosen], weights=state[chosen], minlength=_HISTOGRAM)
        centre = (int(np.argmax(histogram)) + 0.5) / _HISTOGRAM
        off = np.mod(self._phase[chosen] - centre + 0.5, 1.0) - 0.5
        near = state[chosen] * (np.abs(off) <= _REACH)
        total = float(near.sum())
        phase = centre + float(near @ off) / total
        return Belief(phase % 1.0, bpm, min(mass, 1.0), min(total / mass, 1.0))

    def _spread(self, per_length: NDArray[np.float64]) -> F32:
        """Probability [S] with the given weight for each length and uniform phase."""
        spread = (per_length / LENGTHS)[self._index]
        return np.asarray(spread / spread.sum(), dtype=np.float32)
