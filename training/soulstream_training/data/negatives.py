"""Examples without music: silence, noise and speech, each with the motion of the waiting dancer.

A dancer that has only ever seen music dances to anything. These examples show the network what is not music; the motion
beside them is the live engine's own idle. Speech is spoken by eSpeak NG: sentences of our own or invented words.
Not for: music (``music_render``), what the microphone does (``microphone``).

Letters: N samples, U frames at 30 fps, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, oaconvolve, sosfilt

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.features.extractor import extract
from soulstream_engine.motion.idle import idle_poses
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS
from soulstream_training.data.microphone import MAX_DRIFT, record
from soulstream_training.data.music_render import LEAD_IN_S
from soulstream_training.data.programs import find_program, run_program

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

HISS_DBFS = (-70.0, -55.0)
"""Level (root mean square) of the microphone's own noise in a silent room."""

_DIGITAL_SILENCE = 0.3  # share of silence without any hiss
_LONGEST_IDLE_FRAMES = 3600 * FPS
_LOWEST_HZ = 20.0

# Speech; all numbers ours.
_WORDS_A_MINUTE = (120, 210)
_PITCH = (15, 80)
_PAUSE_S = (0.15, 1.8)
_INVENTED = 0.4  # share of utterances made of invented words
_VARIANTS = ("", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f4", "+f5", "+klatt2", "+whisper")
_SENTENCES: dict[str, tuple[str, ...]] = {
    "en-gb": (
        "The ferry leaves at ten past nine, if the fog is gone by then.",
        "Could you bring the blue chairs from the cellar, please?",
        "My sister paints boats, but she has never learned to swim.",
        "We tried the second recipe and it was far too salty.",
        "No, not that door. The one behind the curtain!",
    ),
    "en-us": (
        "Somebody left a bicycle in the elevator again.",
        "I'd say we wait twenty minutes and then call the office.",
        "The old theater on Walnut Street has new seats.",
        "Is this microphone on? Can you hear me at the back?",
        "She counted eleven geese on the frozen pond.",
    ),
    "de": (
        "Der Bäcker an der Ecke hat montags immer geschlossen.",
        "Hast du die Karten für morgen Abend schon abgeholt?",
        "Im Garten steht ein Apfelbaum, der jedes Jahr später blüht.",
        "Bitte stellt die Stühle nachher wieder an die Wand.",
    ),
    "fr-fr": (
        "Le chat du voisin dort toujours sur notre balcon.",
        "Vous avez pensé à fermer la fenêtre de la cuisine ?",
        "Demain, nous prendrons le premier bateau vers le sud.",
        "Il pleut depuis mardi et la rivière monte encore.",
    ),
    "es": (
        "La tienda de la plaza abre más tarde los jueves.",
        "¿Quién ha dejado las llaves encima del piano?",
        "Mi abuelo cuenta la misma historia cada verano.",
        "No hace falta correr, todavía quedan quince minutos.",
    ),
    "it": (
        "Il treno per la costa parte dal terzo binario.",
        "Hai visto il mio cappello, quello con la piuma?",
        "Oggi il mare è calmo e le barche sono rientrate presto.",
    ),
}
_LANGUAGES = (*_SENTENCES, "nl", "pl", "pt-br", "sv", "tr", "fi")
_CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "br", "tr", "kl", "")
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "o")
_ENDINGS = ("", "", "", "n", "r", "s", "l")


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Many short bursts at random times: ``rate_hz`` of them, ``length_s`` of one, ``band_hz`` of its noise."""

    rate_hz: tuple[float, float]
    length_s: tuple[float, float]
    band_hz: tuple[float, float]


_APPLAUSE = _Crowd((15.0, 150.0), (0.008, 0.03), (500.0, 5_000.0))
_MURMUR = _Crowd((8.0, 40.0), (0.08, 0.35), (150.0, 1_500.0))
_NUM_SOURCES = 8  # different hands or mouths


@dataclass(frozen=True, slots=True)
class _Talker:
    """A person: the ``language`` and eSpeak's ``options`` for voice, words a minute and pitch."""

    language: str
    options: tuple[str, ...]


def find_speaker() -> str:
    """Path of eSpeak NG.

    Raises:
        ConfigError: If it is not installed; names the Debian package.
    """
    what = "which speaks the examples without music"
    return find_program("espeak-ng", what, code="ESPEAK", packages="espeak-ng")


def make_negative(kind: str, seconds: float, generator: np.random.Generator) -> F32:
    """Sound that is not music, as a microphone hands it on.

    Args:
        kind: One of ``NEGATIVE_KINDS``.
        seconds: Length, more than 0.
        generator: Source of chance; the same state gives the same samples.

    Returns:
        [N] float32 mono at 48 kHz. ``silence``: zeros, or hiss of -70 to -55 dBFS; the others: peak -20 to -1 dBFS.

    Raises:
        ConfigError: If ``kind`` is speech and eSpeak NG is not installed or fails.
        ValueError: If the kind is unknown or the length not positive.
    """
    if kind not in _MAKERS or not seconds > 0.0:
        raise ValueError(f"'{kind}' of {seconds} s: needs one of {', '.join(_MAKERS)}, and more than 0 s")
    num_samples = max(round(seconds * SAMPLE_RATE), 1)
    lost = math.ceil(num_samples * MAX_DRIFT) + 1  # to a slow recording clock
    played = _MAKERS[kind](num_samples + lost, generator)
    heard = record(played.astype(np.float32), generator).samples[-num_samples:]  # without the gap of its latency
    return _with_hiss(heard, generator) if kind == "silence" else heard


def negative_example(kind: str, num_frames: int, generator: np.random.Generator) -> tuple[F32, F32, F32]:
    """An example to train on: what the engine hears where there is no music, and the dancer waiting.

    Args:
        kind: One of ``NEGATIVE_KINDS``.
        num_frames: U, at least 1.
        generator: Source of chance.

    Returns:
        ``features`` [U, F], heard for 12 s before the first row; ``root_m`` [U, 3] and ``joint_wxyz`` [U, 22, 4] of
        the engine's idle from a random moment of its first hour on, at the origin facing +Z; all float32.

    Raises:
        ConfigError: If ``kind`` is speech and eSpeak NG is not installed or fails.
        ValueError: If the kind is unknown or there are no frames.
    """
    if num_frames < 1:
        raise ValueError(f"{num_frames} frames: needs at least 1")
    first_row = round(LEAD_IN_S * FPS)
    samples = make_negative(kind, (first_row + num_frames) * SAMPLES_PER_FRAME / SAMPLE_RATE, generator)
    start = int(generator.integers(0, _LONGEST_IDLE_FRAMES))
    root_m, joint_wxyz, _ = idle_poses(np.arange(start, start + num_frames), np.zeros(3), 0.0)
    return extract(samples)[first_row:], root_m, joint_wxyz[:, :NUM_BODY_JOINTS]


def _silence(num_samples: int, generator: np.random.Generator) -> F64:
    del generator
    return np.zeros(num_samples)


def _with_hiss(samples: F32, generator: np.random.Generator) -> F32:
    """The microphone's own noise on top of silence, at a level that the recording must not change any more."""
    if generator.random() < _DIGITAL_SILENCE:
        return samples
    hiss = _coloured(len(samples), float(generator.choice((0.0, 1.0))), generator)
    gain = 10.0 ** (float(generator.uniform(*HISS_DBFS)) / 20.0) / math.sqrt(float(np.mean(hiss**2)))
    return (samples + gain * hiss).astype(np.float32)


def _noise(num_samples: int, generator: np.random.Generator) -> F64:
    """Steady noise, hum, or people: clapping or talking all at once."""
    which = str(generator.choice(("colour", "hum", "applause", "murmur")))
    if which == "colour":
        return _coloured(num_samples, float(generator.choice((0.0, 1.0, 2.0))), generator)
    if which == "hum":
        return _hum(num_samples, generator)
    return _bursts(num_samples, _APPLAUSE if which == "applause" else _MURMUR, generator)


def _coloured(num_samples: int, slope: float, generator: np.random.Generator) -> F64:
    """Noise whose power falls as frequency to the ``slope``: 0 white, 1 pink, 2 brown; nothing below 20 Hz."""
    length = 2 ** math.ceil(math.log2(max(num_samples, SAMPLE_RATE)))
    hz = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    spectrum = generator.standard_normal(len(hz)) + 1j * generator.standard_normal(len(hz))
    spectrum *= np.where(hz < _LOWEST_HZ, 0.0, np.maximum(hz, _LOWEST_HZ) ** (-slope / 2.0))
    return np.asarray(np.fft.irfft(spectrum, length)[:num_samples])


def _hum(num_samples: int, generator: np.random.Generator) -> F64:
    """Mains hum of 50 or 60 Hz with up to 12 harmonics over a little noise."""
    turns = float(generator.choice((50.0, 60.0))) * np.arange(num_samples) / SAMPLE_RATE
    sound = np.zeros(num_samples)
    for harmonic in range(1, 2 + int(generator.integers(2, 12))):
        size = float(generator.uniform(0.2, 1.0)) / harmonic
        sound += size * np.sin(2.0 * np.pi * (harmonic * turns + float(generator.random())))
    noise = _coloured(num_samples, 1.0, generator)
    return sound + float(generator.uniform(0.005, 0.1)) / max(float(np.std(noise)), 1e-12) * noise


def _bursts(num_samples: int, crowd: _Crowd, generator: np.random.Generator) -> F64:
    """A crowd: bursts of filtered noise at random times, as dense and as loud as they happen to be."""
    rate_hz = float(generator.uniform(*crowd.rate_hz)) / _NUM_SOURCES
    sound = np.zeros(num_samples)
    for _ in range(_NUM_SOURCES):
        length = int(float(generator.uniform(*crowd.length_s)) * SAMPLE_RATE)
        low, high = crowd.band_hz
        band = (low * float(generator.uniform(1.0, 2.0)), high * float(generator.uniform(0.5, 1.0)))
        burst = sosfilt(
            butter(1, band, btype="bandpass", fs=SAMPLE_RATE, output="sos"),
            generator.standard_normal(length) * np.sin(np.pi * np.sqrt(np.arange(length) / length)),
        )
        burst /= math.sqrt(float(np.sum(burst**2)))
        count = 1 + int(generator.poisson(rate_hz * num_samples / SAMPLE_RATE))
        train = np.zeros(num_samples)
        train[generator.integers(0, num_samples, count)] = generator.uniform(0.3, 1.0, count)
        sound += oaconvolve(train, burst)[:num_samples]
    return sound + float(generator.uniform(0.05, 0.2)) * float(np.std(sound)) * generator.standard_normal(num_samples)


def _speech(num_samples: int, generator: np.random.Generator) -> F64:
    """One or two people talking in turn with pauses of no rhythm."""
    program = find_speaker()
    talkers = [_draw_talker(generator) for _ in range(int(generator.integers(1, 3)))]
    sound = np.zeros(num_samples)
    at = int(float(generator.uniform(0.0, 0.5)) * SAMPLE_RATE)
    with TemporaryDirectory() as folder:
        while at < num_samples:
            talker = talkers[int(generator.integers(len(talkers)))]
            words = _speak(program, talker, _draw_text(talker.language, generator), Path(folder) / "words.wav")
            words = words[: num_samples - at]
            sound[at : at + len(words)] = words
            at += len(words) + int(float(generator.uniform(*_PAUSE_S)) * SAMPLE_RATE)
    return sound


def _draw_talker(generator: np.random.Generator) -> _Talker:
    language = str(generator.choice(_LANGUAGES))
    voice = language + str(generator.choice(_VARIANTS))
    rate, pitch = (int(generator.integers(low, high)) for low, high in (_WORDS_A_MINUTE, _PITCH))
    return _Talker(language, ("-v", voice, "-s", str(rate), "-p", str(pitch)))


def _draw_text(language: str, generator: np.random.Generator) -> str:
    """One to three sentences of ours, or of invented words, which every language reads in its own way."""
    known = _SENTENCES.get(language, ())
    sentences = []
    for _ in range(int(generator.integers(1, 4))):
        if known and generator.random() > _INVENTED:
            sentences.append(str(generator.choice(known)))
        else:
            words = ["".join(_draw_syllables(generator)) for _ in range(int(generator.integers(3, 10)))]
            sentences.append(" ".join(words).capitalize() + str(generator.choice((".", ".", "?", "!"))))
    return " ".join(sentences)


def _draw_syllables(generator: np.random.Generator) -> list[str]:
    return [
        "".join(str(generator.choice(part)) for part in (_CONSONANTS, _VOWELS, _ENDINGS))
        for _ in range(int(generator.integers(1, 4)))
    ]


def _speak(program: str, talker: _Talker, text: str, wav: Path) -> F64:
    """The words as sound [N] at 48 kHz."""
    command = [program, *talker.options, "-z", "-w", str(wav), "--", text]
    remedy = "Install it anew: apt-get install --reinstall espeak-ng espeak-ng-data"
    run_program(command, wav, code="ESPEAK", remedy=remedy)
    words, rate = soundfile.read(wav, dtype="float64")
    return np.asarray(soxr.resample(words, rate, SAMPLE_RATE, quality="HQ"), dtype=np.float64)


_MAKERS: dict[str, Callable[[int, np.random.Generator], F64]] = {
    "silence": _silence,
    "noise": _noise,
    "speech": _speech,
}

NEGATIVE_KINDS = tuple(_MAKERS)
"""What there is instead of music."""
