"""Fine phase: an oscillator that climbs the likelihood of the onset template between the states of the model.

The hidden Markov model has beat lengths of whole 10 ms steps. Between two lengths it runs a little fast or slow: its
phase is off by up to 20 ms, always to the same side for a given tempo, and its mean tempo by up to 0.5 %. The
oscillator corrects its phase and tempo with the same template and the same onsets, and gives way to the model wherever
they disagree by more. How well the onsets fit the template at its phase is the best measure of trust we found.
Not for: finding the beat. Source of every number: ours, measured on synthetic drums of known phase.
"""

from __future__ import annotations

import math

import numpy as np

from soulstream_engine.features.hmm import KAPPA, TEMPLATE
from soulstream_engine.features.onsets import STEP_RATE

FAR_TURNS, APART_TURNS = 0.2, 0.09
FAR_TEMPO, APART_TEMPO = 0.06, 0.03
"""Distances from the model at which the oscillator gives way: at once, or when they last for ``PATIENCE`` readings."""

PATIENCE = 5
"""Readings of the model (half a second)."""

TEMPLATE_TURNS = 0.0393
ONSET_DELAY_S = 0.0187
"""The template stands this much after the beat, onset strength this much after the sound. Measured on synthetic drums
of known phase, 66-195 BPM, three patterns: the straight line through the errors leaves less than 0.1 ms."""

_TABLE = 1024
_STEP_S = 1.0 / STEP_RATE
_SHARPNESS = KAPPA
_PHASE_NOISE = 0.002**2 * _STEP_S
_TEMPO_NOISE = 0.002**2 * _STEP_S
_START_PHASE, _START_TEMPO = 0.02**2, 0.006**2
_CURVATURE_MEMORY = 0.01
_CURVATURE_START, _CURVATURE_FLOOR = 100.0, 10.0
_LARGEST_STEP = 0.01
_FIT_DECAY = float(np.exp(-_STEP_S / 4.0))
_FIT_START_STEPS = 50.0


def _curves() -> tuple[list[float], list[float], list[float]]:
    """Standardised template, first and second derivative of the smooth template by phase, at ``_TABLE`` phases."""
    harmonics = np.fft.rfft(TEMPLATE.astype(np.float64))
    order = np.arange(len(harmonics))
    harmonics *= np.exp(-2j * np.pi * order * 0.5 / len(TEMPLATE)) * np.exp(-0.5 * (order / 8.0) ** 2)
    scale = _TABLE / len(TEMPLATE)
    shape = np.fft.irfft(harmonics, _TABLE)
    first = np.fft.irfft(harmonics * (2j * np.pi * order), _TABLE) * scale
    second = np.fft.irfft(harmonics * (2j * np.pi * order) ** 2, _TABLE) * scale
    return ((shape - shape.mean()) / shape.std()).tolist(), first.tolist(), second.tolist()


class PhaseLock:
    """Two-state Kalman filter: phase (turns) and rate (turns a second) at the last step, with their covariance."""

    def __init__(self) -> None:
        self._shape, self._slope, self._bend = _curves()
        self._phase, self._rate = 0.0, 2.0
        self._var_phase, self._cov, self._var_rate = 0.0, 0.0, 0.0
        self._curvature, self._away = 0.0, 0
        self._weight, self._energy, self._match = 0.0, 0.0, 0.0
        self.set(0.0, 120.0)

    @property
    def bpm(self) -> float:
        """Tempo, beats a minute."""
        return 60.0 * self._rate

    @property
    def phase(self) -> float:
        """Phase of the beat in the sound (not in the onset strength), turns at the last step."""
        return (self._phase - TEMPLATE_TURNS + ONSET_DELAY_S * self._rate) % 1.0

    @property
    def fit(self) -> float:
        """Correlation -1..1 of the onsets of the last 4 s with the template: music 0.4-0.6, noise and speech < 0.2."""
        return self._match / math.sqrt(self._weight * (self._energy + self._weight))

    def step(self, strength: float) -> None:
        """One 10 ms step.

        Args:
            strength: Sum of the standardised onset strengths of the four band groups.
        """
        phase = (self._phase + self._rate * _STEP_S) % 1.0
        self._var_phase += _STEP_S * (2.0 * self._cov + _STEP_S * self._var_rate) + _PHASE_NOISE
        self._cov += _STEP_S * self._var_rate
        self._var_rate += _TEMPO_NOISE

        index = int(phase * _TABLE) % _TABLE
        self._curvature += _CURVATURE_MEMORY * (-strength * self._bend[index] - self._curvature)
        information = _SHARPNESS * max(self._curvature, _CURVATURE_FLOOR)
        shrink = 1.0 / (1.0 + self._var_phase * information)
        pull = _SHARPNESS * strength * self._slope[index] * shrink
        move = min(max(self._var_phase * pull, -_LARGEST_STEP), _LARGEST_STEP)
        self._phase = (phase + move) % 1.0
        self._rate += self._cov * pull
        self._var_rate -= self._cov * self._cov * information * shrink
        self._cov *= shrink
        self._var_phase *= shrink

        self._match = self._match * _FIT_DECAY + strength * self._shape[index]
        self._energy = self._energy * _FIT_DECAY + strength * strength
        self._weight = self._weight * _FIT_DECAY + 1.0

    def follow(self, phase: float, bpm: float) -> None:
        """Give way to the model where it is far away.

        Args:
            phase: The model's phase at the last step (of the onset strength), turns.
            bpm: The model's tempo.
        """
        turns = abs((self._phase - phase + 0.5) % 1.0 - 0.5)
        tempo = abs(bpm / self.bpm - 1.0)
        self._away = self._away + 1 if turns > APART_TURNS or tempo > APART_TEMPO else 0
        if turns > FAR_TURNS or tempo > FAR_TEMPO or self._away >= PATIENCE:
            self.set(phase, bpm)

    def set(self, phase: float, bpm: float, fit: float = 0.0) -> None:
        """Start again at a phase (of the onset strength), tempo and fit (weighs as much as half a second of music)."""
        self._phase = phase % 1.0
        self._rate = bpm / 60.0
        self._var_phase, self._cov, self._var_rate = _START_PHASE, 0.0, _START_TEMPO * self._rate**2
        self._curvature = _CURVATURE_START
        self._away = 0
        self._weight, self._energy = _FIT_START_STEPS, 9.0 * _FIT_START_STEPS
        self._match = fit * math.sqrt(self._weight * (self._energy + self._weight))
