"""Sound files of any rate, channel count and bit depth to mono float32 at ``clock.SAMPLE_RATE``.

Reads what libsndfile reads: WAV, FLAC, OGG, MP3, AIFF and more. ``decode_blocks`` streams (any length fits in memory),
``load_audio`` is the same blocks joined. Not for: raw samples without a header (``audio.pipe``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.errors import AudioError

MAX_LOAD_SECONDS = 4 * 3600
"""Longest file ``load_audio`` takes whole (2.8 GB of samples); ours."""

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Sample rates believed, Hz; anything else is a damaged header. Ours."""

_READ_FRAMES = 32_768
_CONVERT_HINT = "Convert it first, for example: ffmpeg -i INPUT -ar 48000 output.wav"


def decode_blocks(path: str | os.PathLike[str]) -> Iterator[NDArray[np.float32]]:
    """Decodes a sound file piece by piece; checks it before the first piece is asked for.

    Args:
        path: File to read. Not a folder, not a device.

    Returns:
        Iterator over pieces [N] float32, mono (mean of the channels), ``SAMPLE_RATE`` Hz, finite; N varies.

    Raises:
        AudioError: missing, a folder, not readable, empty, not a sound file; or (while iterating) damaged further on.
    """
    file = Path(path)
    sound = _open(file)
    return _blocks(sound, file)


def check_audio(path: str | os.PathLike[str]) -> float:
    """Opens a sound file and closes it again.

    Returns:
        Its length as declared, seconds.

    Raises:
        AudioError: as ``decode_blocks``.
    """
    with _open(Path(path)) as sound:
        return float(sound.frames / sound.samplerate)


def load_audio(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Decodes a whole sound file.

    Args:
        path: File to read.

    Returns:
        Samples [N] float32, mono, ``SAMPLE_RATE`` Hz, finite.

    Raises:
        AudioError: as ``decode_blocks``, or longer than ``MAX_LOAD_SECONDS``.
    """
    file = Path(path)
    sound = _open(file)
    seconds = sound.frames / sound.samplerate
    if seconds > MAX_LOAD_SECONDS:
        sound.close()
        raise AudioError(
            "AUDIO_FILE_TOO_LONG",
            f"{file} lasts {seconds:.0f} s; the limit is {MAX_LOAD_SECONDS} s.",
            "Cut it into shorter files.",
        )
    pieces = list(_blocks(sound, file))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _open(file: Path) -> soundfile.SoundFile:
    """Opens and checks a file; every failure becomes an ``AudioError`` that names it."""
    if file.is_dir():
        raise AudioError("AUDIO_FILE_IS_FOLDER", f"{file} is a folder, not a sound file.", "Name one file inside it.")
    if not file.exists():
        raise AudioError("AUDIO_FILE_MISSING", f"There is no file {file}.", "Check the name and the current folder.")
    if not file.is_file():
        raise AudioError("AUDIO_FILE_SPECIAL", f"{file} is not a regular file.", "Pipe it in with --audio - instead.")
    if not os.access(file, os.R_OK):
        raise AudioError("AUDIO_FILE_FORBIDDEN", f"{file} may not be read by this user.", "Change its permissions.")
    if file.stat().st_size == 0:
        raise AudioError("AUDIO_FILE_EMPTY", f"{file} is empty (0 bytes).", "Export or download it again.")
    if file.suffix.lower() == ".raw":
        raise AudioError(
            "AUDIO_FILE_UNKNOWN", f"{file} is raw audio without a header.", f"Pipe it in: --audio - < {file.name}"
        )
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(
            "AUDIO_FILE_UNREADABLE",
            f"{file} is damaged or not a sound file that can be read here (WAV, FLAC, OGG, MP3, AIFF): {_text(error)}",
            _CONVERT_HINT,
        ) from error
    if not MIN_RATE <= sound.samplerate <= MAX_RATE:
        sound.close()
        raise AudioError(
            "AUDIO_FILE_RATE",
            f"{file} declares {sound.samplerate} Hz; {MIN_RATE} to {MAX_RATE} Hz are possible.",
            _CONVERT_HINT,
        )
    if sound.frames <= 0:
        sound.close()
        raise AudioError("AUDIO_FILE_EMPTY", f"{file} holds no samples (0 s).", "Export or download it again.")
    return sound


def _blocks(sound: soundfile.SoundFile, file: Path) -> Iterator[NDArray[np.float32]]:
    resampler = None
    if sound.samplerate != SAMPLE_RATE:
        resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    with sound:
        while True:
            try:
                piece = sound.read(_READ_FRAMES, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise AudioError(
                    "AUDIO_FILE_DAMAGED",
                    f"{file} is damaged after {sound.tell() / sound.samplerate:.1f} s: {_text(error)}",
                    _CONVERT_HINT,
                ) from error
            is_last = len(piece) < _READ_FRAMES
            mono = to_mono(piece)
            if resampler is not None:
                mono = np.asarray(resampler.resample_chunk(mono, last=is_last), np.float32)
            if mono.size:
                yield mono
            if is_last:
                return


def to_mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the channels of samples [N, C], with NaN and infinities replaced by silence; [N] float32."""
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        mono = np.where(np.isfinite(mono), mono, np.float32(0.0))
    return np.ascontiguousarray(mono, dtype=np.float32)


def _text(error: BaseException) -> str:
    return str(error).strip().rstrip(".") + "."
