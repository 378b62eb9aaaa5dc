"""Opening sources, and what arrives from those that need no device."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soulstream_engine.audio import portaudio
from soulstream_engine.audio.paced import PacedSource
from soulstream_engine.audio.pipe import PipeFormat, PipeSource, parse_pipe_format
from soulstream_engine.audio.sources import open_source
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import AudioError, ConfigError


def ramp(num: int) -> np.ndarray:
    return (np.arange(num) % 2000 / 2000 - 0.5).astype(np.float32)


def pipe_with(data: bytes) -> int:
    """Reading end of a pipe that delivers ``data`` and ends."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb", buffering=0) as stream:
            stream.write(data)

    threading.Thread(target=write, daemon=True).start()
    return read_end


def test_a_file_is_delivered_whole_in_real_time_from_an_aligned_start(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    samples = ramp(9700)
    soundfile.write(path, samples, 48000, subtype="FLOAT")
    source = open_source(str(path))
    starts: list[int] = []

    def align(now_ns: int) -> int:
        starts.append(now_ns + 20_000_000)
        return starts[0]

    blocks = []
    for block in source.blocks(align):
        end_ns = block.captured_ns + len(block.samples) * 1_000_000_000 // 48000
        assert monotonic_ns() >= end_ns - 1_000_000  # never before it has sounded
        blocks.append(block)
    assert len(starts) == 1
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), samples)
    assert [len(block.samples) for block in blocks] == [480] * 20 + [100]
    assert [block.first_sample for block in blocks] == [480 * n for n in range(21)]
    assert [block.captured_ns for block in blocks] == [starts[0] + 10_000_000 * n for n in range(21)]
    assert source.state == "ended"


def test_a_looping_source_goes_on_without_a_gap() -> None:
    source = PacedSource("ramp", lambda: iter([ramp(700)]), play=False, loop=True)
    taken: list[np.ndarray] = []
    for block in source.blocks():
        taken.append(block.samples)
        if len(taken) == 3:
            source.close()
    assert np.array_equal(np.concatenate(taken), np.concatenate([ramp(700)] * 3)[:1440])


def test_playing_if_possible_never_fails_and_says_why_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def refuse(name: str) -> object:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(portaudio.importlib, "import_module", refuse)
    source = PacedSource("ramp", lambda: iter([ramp(960)]), play=None, loop=False)
    assert len(list(source.blocks(lambda now_ns: (told.append(source.reason), now_ns)[1]))) == 2
    assert told[0].startswith("without sound here. Audio devices need the PortAudio library")
    with pytest.raises(AudioError, match="libportaudio2"):
        PacedSource("ramp", lambda: iter([ramp(960)]), play=True, loop=False)


def test_the_built_in_track_opens_and_closes() -> None:
    source = open_source("demo")
    first = next(iter(source.blocks()))
    source.close()
    assert len(first.samples) == 480
    assert np.abs(first.samples).max() > 0.05


@pytest.mark.parametrize(
    ("pipe_format", "encode"),
    [
        (PipeFormat(), lambda x: (x * 32768).astype("<i2").tobytes()),
        (PipeFormat(encoding="s16be"), lambda x: (x * 32768).astype(">i2").tobytes()),
        (PipeFormat(encoding="f32le"), lambda x: x.astype("<f4").tobytes()),
        (PipeFormat(encoding="s32le"), lambda x: (x.astype(np.float64) * 2**31).astype("<i4").tobytes()),
        (
            PipeFormat(encoding="s24le"),
            lambda x: (x.astype(np.float64) * 2**31).astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes(),
        ),
        (PipeFormat(channels=2), lambda x: np.repeat((x * 32768).astype("<i2"), 2).tobytes()),
    ],
)
def test_raw_samples_arrive_as_they_were(pipe_format: PipeFormat, encode: object) -> None:
    samples = ramp(2500)
    descriptor = pipe_with(encode(samples) + b"\x01")  # type: ignore[operator]
    source = PipeSource(descriptor, pipe_format)
    received = np.concatenate([block.samples for block in source.blocks()])
    os.close(descriptor)
    if pipe_format.channels > 1:
        received = received[: len(samples)]
    assert np.allclose(received, samples, atol=1e-4)
    assert source.state == "ended"


def test_raw_samples_of_another_rate_are_resampled() -> None:
    t = np.arange(8000) / 16000
    descriptor = pipe_with((0.5 * np.sin(2 * np.pi * 500 * t) * 32767).astype("<i2").tobytes())
    source = PipeSource(descriptor, PipeFormat(sample_rate=16000))
    received = np.concatenate([block.samples for block in source.blocks()])
    os.close(descriptor)
    assert len(received) == pytest.approx(24000, abs=2)
    assert int(np.abs(np.fft.rfft(received[2400:-2400])).argmax()) == pytest.approx(500 * 19200 / 48000, abs=1)


def test_a_fast_pipe_is_read_in_real_time_and_a_closed_source_lets_go() -> None:
    descriptor = pipe_with(bytes(48000 * 2 * 5))
    source = PipeSource(descriptor, PipeFormat())
    start_ns = monotonic_ns()
    for count, _block in enumerate(source.blocks()):
        if count == 29:
            source.close()
    os.close(descriptor)
    assert 0.29 < (monotonic_ns() - start_ns) / 1e9 < 1.0


def test_a_stalled_pipe_moves_what_follows() -> None:
    read_end, write_end = os.pipe()
    source = PipeSource(read_end, PipeFormat())
    os.write(write_end, bytes(960))
    blocks = iter(source.blocks())
    first = next(blocks)
    threading.Timer(0.4, lambda: (os.write(write_end, bytes(960)), os.close(write_end))).start()
    second = next(blocks)
    os.close(read_end)
    assert (second.captured_ns - first.captured_ns) / 1e9 > 0.35
    assert second.first_sample == 480
    assert source.stalls == 1


def test_a_pipe_without_a_sample_is_an_error() -> None:
    descriptor = pipe_with(b"")
    with pytest.raises(AudioError, match="without a sample"):
        list(PipeSource(descriptor, PipeFormat()).blocks())
    os.close(descriptor)


def test_a_terminal_is_not_taken_for_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import sys

    controller, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(AudioError, match="is a terminal"):
            open_source("-")
    os.close(controller)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"sample_rate": 10}, "CONFIG_PIPE_RATE"),
        ({"channels": 0}, "CONFIG_PIPE_CHANNELS"),
        ({"encoding": "mp3"}, "CONFIG_PIPE_FORMAT"),
    ],
)
def test_impossible_formats_are_refused(values: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PipeFormat(**values)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_formats_are_read_from_text_and_parts_at_the_end_may_be_left_out() -> None:
    assert parse_pipe_format("f32le:44100:2") == PipeFormat(44100, 2, "f32le")
    assert parse_pipe_format("u8:8000") == PipeFormat(8000, 1, "u8")
    assert parse_pipe_format("s16be") == PipeFormat(48000, 1, "s16be")
    for text in ("", "s16le:fast", "s16le:48000:1:1", "s16le:-1", "s16le:48000:0"):
        with pytest.raises(ConfigError):
            parse_pipe_format(text)


@pytest.mark.parametrize("spec", ["", "  ", "mic:"])
def test_specifications_that_mean_nothing_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError):
        open_source(spec)


def test_a_missing_file_is_reported_when_opening() -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        open_source("nowhere.wav")


def test_without_portaudio_only_devices_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(name: str) -> object:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(portaudio.importlib, "import_module", refuse)
    with pytest.raises(AudioError, match="libportaudio2") as caught:
        open_source("mic")
    assert caught.value.code == "AUDIO_PORTAUDIO_MISSING"
    path = tmp_path / "ramp.wav"
    soundfile.write(path, ramp(480), 48000)
    assert len(list(open_source(str(path)).blocks())) == 1
    open_source("demo").close()
