"""Odd sound files simply work; damaged ones are one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soulstream_engine.audio.decode import check_audio, decode_blocks, load_audio
from soulstream_engine.errors import AudioError

TONE_HZ = 440.0


def write_tone(path: Path, *, seconds: float, rate: int, channels: int, subtype: str | None, gain: float = 0.5) -> None:
    t = np.arange(int(seconds * rate)) / rate
    samples = gain * np.sin(2 * np.pi * TONE_HZ * t)
    soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate, subtype=subtype)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("mono.wav", 48000, 1, "PCM_16"),
        ("cd.wav", 44100, 2, "PCM_16"),
        ("telephone.wav", 8000, 1, "PCM_16"),
        ("studio.wav", 96000, 2, "PCM_24"),
        ("surround.wav", 48000, 6, "PCM_24"),
        ("eight_bit.wav", 22050, 1, "PCM_U8"),
        ("float.wav", 44100, 1, "FLOAT"),
        ("double.wav", 48000, 2, "DOUBLE"),
        ("flac.flac", 44100, 2, "PCM_24"),
        ("vorbis.ogg", 44100, 2, None),
        ("mp3.mp3", 44100, 2, None),
    ],
)
def test_any_rate_channel_count_and_depth_gives_the_same_tone(
    tmp_path: Path, name: str, rate: int, channels: int, subtype: str | None
) -> None:
    path = tmp_path / name
    write_tone(path, seconds=3.0, rate=rate, channels=channels, subtype=subtype)
    samples = load_audio(path)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - 3 * 48000) <= 0.06 * 48000  # MP3 pads up to 50 ms
    assert check_audio(path) == pytest.approx(3.0, abs=0.06)
    middle = samples[48000:96000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(spectrum.argmax()) == TONE_HZ
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)  # MP3 at its default quality


def test_resampling_keeps_length_and_time(tmp_path: Path) -> None:
    path = tmp_path / "click.wav"
    samples = np.zeros(44100, np.float32)
    samples[22050] = 0.9
    soundfile.write(path, samples, 44100, subtype="FLOAT")
    resampled = load_audio(path)
    assert len(resampled) == 48000
    assert abs(int(np.abs(resampled).argmax()) - 24000) <= 1


def test_silence_stays_silent(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_tone(path, seconds=1.0, rate=44100, channels=2, subtype="PCM_16", gain=0.0)
    assert not load_audio(path).any()


def test_not_a_number_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.1, np.nan, np.inf, -np.inf, 0.2] * 1000, np.float32), 48000, subtype="FLOAT")
    samples = load_audio(path)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(0.2)


def test_pieces_joined_equal_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    write_tone(path, seconds=5.0, rate=44100, channels=1, subtype="PCM_16")
    assert np.array_equal(np.concatenate(list(decode_blocks(path))), load_audio(path))


def test_truncated_wav_plays_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    write_tone(path, seconds=2.0, rate=48000, channels=1, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:96000])
    assert 0.9 < len(load_audio(path)) / 48000 < 1.1


def _missing(folder: Path) -> Path:
    return folder / "missing.wav"


def _empty(folder: Path) -> Path:
    (folder / "empty.wav").touch()
    return folder / "empty.wav"


def _no_samples(folder: Path) -> Path:
    soundfile.write(folder / "none.wav", np.zeros((0, 1)), 48000)
    return folder / "none.wav"


def _text(folder: Path) -> Path:
    (folder / "text.mp3").write_text("this is not music\n" * 50)
    return folder / "text.mp3"


def _noise(folder: Path) -> Path:
    (folder / "noise.wav").write_bytes(b"RIFF" + bytes(range(256)) * 20)
    return folder / "noise.wav"


def _raw(folder: Path) -> Path:
    (folder / "take.raw").write_bytes(bytes(9600))
    return folder / "take.raw"


def _broken_flac(folder: Path) -> Path:
    write_tone(folder / "broken.flac", seconds=1.0, rate=44100, channels=1, subtype="PCM_16")
    data = bytearray((folder / "broken.flac").read_bytes())
    data[:60] = bytes(60)
    (folder / "broken.flac").write_bytes(data)
    return folder / "broken.flac"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_missing, "AUDIO_FILE_MISSING"),
        (lambda folder: folder, "AUDIO_FILE_IS_FOLDER"),
        (_empty, "AUDIO_FILE_EMPTY"),
        (_no_samples, "AUDIO_FILE_EMPTY"),
        (_text, "AUDIO_FILE_UNREADABLE"),
        (_noise, "AUDIO_FILE_UNREADABLE"),
        (_broken_flac, "AUDIO_FILE_UNREADABLE"),
        (_raw, "AUDIO_FILE_UNKNOWN"),
    ],
)
def test_bad_files_say_what_is_wrong_and_what_to_do(tmp_path: Path, make: object, code: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 5


def test_special_files_are_refused_without_waiting_for_them() -> None:
    with pytest.raises(AudioError, match="not a regular file"):
        load_audio("/dev/zero")
