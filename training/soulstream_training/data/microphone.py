"""What a microphone makes of played sound: its clock, the room, its band, noise, clipping and level.

Only the clock and the latency move the sound in time, and ``Heard`` knows by how much, so that labels can be moved
along. Every effect is a function of its own and has its own chance; about half of all recordings differ from the
played sound in time and level only. Not for: making sound (``music_render``, ``negatives``), real devices
(``soulstream_engine.audio``).

Letters: N samples played, N' samples recorded. Arithmetic in float64, recordings float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray
from scipy.signal import butter, oaconvolve, sosfilt

from soulstream_engine.clock import SAMPLE_RATE

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MAX_DELAY_S = 0.120
MAX_DRIFT = 50e-6
SNR_RANGE_DB = (5.0, 30.0)
CLIP_SHARES = (0.001, 0.02)
PEAK_RANGE_DBFS = (-20.0, -1.0)

# Chances of the effects; ours. The first four change how it sounds: 0.80 * 0.85 * 0.80 * 0.90 = 49 % keep their sound.
_ROOM_CHANCE, _BAND_CHANCE, _NOISE_CHANCE, _CLIP_CHANCE = 0.20, 0.15, 0.20, 0.10
_LATE_CHANCE, _DRIFT_CHANCE = 0.5, 0.5

_FIRST_ECHO_S = 0.004
_QUIETEST = 1e-9  # peak below which there is nothing to bring to a level


@dataclass(frozen=True, slots=True)
class Effects:
    """Settings of one recording; those not given are off.

    ``delay_s`` latency, ``drift`` relative rate error of the recording clock (positive: too many samples);
    ``room_s`` decay by 60 dB and ``room_level`` of all echoes against the direct sound; ``band_hz`` edges;
    ``snr_db`` music over noise and ``noise_hz`` above which the noise falls; ``clip_share`` of samples at the limit,
    ``is_soft`` saturating instead of cut; ``peak_dbfs`` of the recording.
    """

    delay_s: float = 0.0
    drift: float = 0.0
    room_s: float = 0.0
    room_level: float = 0.4
    band_hz: tuple[float, float] | None = None
    snr_db: float | None = None
    noise_hz: float = 4_000.0
    clip_share: float = 0.0
    is_soft: bool = False
    peak_dbfs: float = -1.0

    @property
    def names(self) -> str:
        """What is on, for example ``room+band+noise17+clip+late63+drift-20`` (dB, milliseconds, ppm)."""
        parts = (
            (self.room_s > 0.0, "room"),
            (self.band_hz is not None, "band"),
            (self.snr_db is not None, f"noise{self.snr_db or 0.0:.0f}"),
            (self.clip_share > 0.0, "clip"),
            (self.delay_s > 0.0, f"late{1e3 * self.delay_s:.0f}"),
            (self.drift != 0.0, f"drift{1e6 * self.drift:+.0f}"),
        )
        return "+".join(name for is_on, name in parts if is_on)


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording: ``samples`` [N'] float32 mono at 48 kHz, ``delay_s`` and ``drift`` of its time, its ``effects``."""

    samples: F32
    delay_s: float
    drift: float
    effects: str

    def heard_s(self, played_s: ArrayLike) -> F64:
        """Where in the recording something is heard, seconds from its start.

        Args:
            played_s: [...] seconds from the start of the played sound.

        Returns:
            [...] float64.
        """
        return np.asarray(self.delay_s + np.asarray(played_s, dtype=np.float64) * (1.0 + self.drift))

    def played_s(self, heard_s: ArrayLike) -> F64:
        """When something in the recording was played; the inverse of ``heard_s``.

        Args:
            heard_s: [...] seconds from the start of the recording.

        Returns:
            [...] float64, seconds from the start of the played sound; negative before it began.
        """
        return np.asarray((np.asarray(heard_s, dtype=np.float64) - self.delay_s) / (1.0 + self.drift))


def record(samples: F32, generator: np.random.Generator) -> Heard:
    """Sound as a microphone or a line hands it on, with effects drawn by chance.

    Args:
        samples: [N] float32 at 48 kHz, finite.
        generator: Source of chance.

    Returns:
        The recording, as long as the sound and its delay; peak between -20 and -1 dBFS. Silence stays silence.

    Raises:
        ValueError: If ``samples`` is not one finite channel.
    """
    return record_with(draw_effects(generator), samples, generator)


def draw_effects(generator: np.random.Generator) -> Effects:
    """Effects of one recording, each with its own chance.

    Args:
        generator: Source of chance.

    Returns:
        The settings.

    Source: ours; latency up to 120 ms, clock within 50 ppm, noise 5 to 30 dB below the music.
    """

    def happens(chance: float) -> bool:
        return float(generator.random()) < chance

    def within(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    return Effects(
        room_s=within(0.12, 0.4) if happens(_ROOM_CHANCE) else 0.0,
        room_level=within(0.2, 0.6),
        band_hz=(within(60, 250), within(4_000, 10_000)) if happens(_BAND_CHANCE) else None,
        snr_db=within(*SNR_RANGE_DB) if happens(_NOISE_CHANCE) else None,
        noise_hz=within(800, 8_000),
        clip_share=math.exp(within(*np.log(CLIP_SHARES))) if happens(_CLIP_CHANCE) else 0.0,
        is_soft=happens(0.5),
        delay_s=within(0.0, MAX_DELAY_S) if happens(_LATE_CHANCE) else 0.0,
        drift=within(-MAX_DRIFT, MAX_DRIFT) if happens(_DRIFT_CHANCE) else 0.0,
        peak_dbfs=within(*PEAK_RANGE_DBFS),
    )


def record_with(effects: Effects, samples: F32, generator: np.random.Generator) -> Heard:
    """Sound as a microphone hands it on, with given effects.

    Args:
        effects: What happens to it; the delay is rounded to a sample.
        samples: [N] float32 at 48 kHz, finite.
        generator: Draws the room's echoes and the noise.

    Returns:
        The recording.

    Raises:
        ValueError: If ``samples`` is not one finite channel.
    """
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"samples {list(samples.shape)} must be one channel of finite numbers")
    sound = _on_clock(samples, effects.delay_s, effects.drift)
    if effects.room_s > 0.0:
        sound = in_room(sound, effects.room_s, effects.room_level, generator)
    if effects.band_hz is not None:
        sound = sosfilt(butter(2, effects.band_hz, btype="bandpass", fs=SAMPLE_RATE, output="sos"), sound)
    if effects.snr_db is not None:
        sound = add_noise(sound, effects.snr_db, effects.noise_hz, generator)
    if effects.clip_share > 0.0:
        sound = clip(sound, effects.clip_share, is_soft=effects.is_soft)
    peak = float(np.abs(sound).max(initial=0.0))
    sound = sound * (10.0 ** (effects.peak_dbfs / 20.0) / max(peak, _QUIETEST))
    delay_s = round(effects.delay_s * SAMPLE_RATE) / SAMPLE_RATE
    return Heard(sound.astype(np.float32), delay_s, effects.drift, effects.names)


def _on_clock(samples: F32, delay_s: float, drift: float) -> F64:
    """The sound [N'] on the recording clock after its delay, never shorter than both together."""
    rate = SAMPLE_RATE * (1.0 + drift)
    sound = soxr.resample(samples, SAMPLE_RATE, rate, quality="HQ") if drift and len(samples) else samples
    before = round(delay_s * SAMPLE_RATE)
    missing = max(math.ceil(len(samples) * (1.0 + drift)) - len(sound), 0)
    return np.pad(sound.astype(np.float64), (before, missing))


def in_room(sound: F64, decay_s: float, level: float, generator: np.random.Generator) -> F64:
    """A small room: the direct sound first, so that beats stay where they are, then decaying echoes from 4 ms on.

    Args:
        sound: [N] float64.
        decay_s: Time in which the echoes fall by 60 dB.
        level: Root of the energy of all echoes against the direct sound.
        generator: Draws the echoes.

    Returns:
        [N] float64; what echoes after the end is cut.
    """
    length = int(decay_s * SAMPLE_RATE)
    response = generator.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    response[: int(_FIRST_ECHO_S * SAMPLE_RATE)] = 0.0
    response *= level / max(float(np.sqrt(np.sum(response**2))), _QUIETEST)
    response[0] = 1.0
    return np.asarray(oaconvolve(sound, response)[: len(sound)]) if len(sound) else sound


def add_noise(sound: F64, snr_db: float, noise_hz: float, generator: np.random.Generator) -> F64:
    """Steady noise under the sound.

    Args:
        sound: [N] float64.
        snr_db: Mean power of the sound over that of the noise.
        noise_hz: Above it the noise falls by 6 dB an octave.
        generator: Source of chance.

    Returns:
        [N] float64; silence gets no noise.
    """
    if not sound.any():
        return sound
    noise = sosfilt(butter(1, noise_hz, fs=SAMPLE_RATE, output="sos"), generator.standard_normal(len(sound)))
    gain = math.sqrt(float(np.mean(sound**2)) / float(np.mean(noise**2))) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(sound + gain * noise)


def clip(sound: F64, share: float, *, is_soft: bool) -> F64:
    """An input that is too loud: the loudest samples meet a limit.

    Args:
        sound: [N] float64.
        share: Of the samples that end at the limit, 0..1.
        is_soft: Whether a cubic curve leads up to the limit, instead of a straight line.

    Returns:
        [N] float64 in -1..1; unchanged where fewer samples than the share are not silent.
    """
    if not len(sound):
        return sound
    at = int((1.0 - share) * (len(sound) - 1))
    limit = float(np.partition(np.abs(sound), at)[at])
    if limit < _QUIETEST:
        return sound
    driven = np.clip(sound / limit, -1.0, 1.0)
    return np.asarray(1.5 * driven - 0.5 * driven**3 if is_soft else driven)
