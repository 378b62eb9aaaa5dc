"""A microphone that vanishes, returns, changes its name or its rate; PortAudio is played by a small stand-in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from soulstream_engine.audio import microphone, portaudio
from soulstream_engine.audio.microphone import MicrophoneSource
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import AudioError


class FakePortAudio:
    """Devices by name; a stream calls back from its own thread until it is unplugged."""

    class PortAudioError(Exception):
        pass

    def __init__(self, names: list[str], rate: float = 48000.0, *, only_default_rate: bool = False) -> None:
        self.names = names
        self.rate = rate
        self.only_default_rate = only_default_rate
        self.is_plugged = True
        self.default = SimpleNamespace(device=(0, 0))
        self.opened: list[str] = []

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "hostapi": 0, "max_input_channels": 2, "default_samplerate": self.rate}
            for name in self.names
        ]

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "Fake"}]

    def check_input_settings(self, device: int, channels: int, dtype: str, samplerate: float) -> None:
        if self.only_default_rate and samplerate != self.rate:
            raise self.PortAudioError("Invalid sample rate")

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        pass

    def InputStream(self, *, device: int, samplerate: int, callback: Callable[..., None], **_: Any) -> Any:
        self.opened.append(self.names[device])
        return FakeStream(self, samplerate, callback)


class FakeStream:
    def __init__(self, owner: FakePortAudio, rate: int, callback: Callable[..., None]) -> None:
        self._owner, self._rate, self._callback = owner, rate, callback
        self._closed = threading.Event()
        self._position = 0

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def close(self, ignore_errors: bool = True) -> None:
        self._closed.set()

    def _run(self) -> None:
        frames = self._rate // 100
        status = SimpleNamespace(input_overflow=False)
        stamps = SimpleNamespace(currentTime=0.0, inputBufferAdcTime=0.0)
        while not self._closed.wait(0.01) and self._owner.is_plugged:
            t = (np.arange(frames) + self._position) / self._rate
            self._position += frames
            tone = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
            self._callback(np.stack([tone, tone], axis=1), frames, stamps, status)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakePortAudio]:
    def make(*args: Any, **kwargs: Any) -> FakePortAudio:
        device = FakePortAudio(*args, **kwargs)
        monkeypatch.setattr(portaudio, "import_sounddevice", lambda: device)
        monkeypatch.setattr(microphone, "LOST_AFTER_S", 0.2)
        monkeypatch.setattr(microphone, "_FIRST_BLOCK_S", 0.3)
        monkeypatch.setattr(microphone, "_BACK_OFF_S", (0.03,))
        return device

    return make


def test_a_device_of_another_rate_is_resampled(fake: Callable[..., FakePortAudio]) -> None:
    fake(["Line"], 44100.0, only_default_rate=True)
    source = MicrophoneSource("line")
    taken: list[np.ndarray] = []
    for block in source.blocks():
        taken.append(block.samples)
        if sum(map(len, taken)) > 16000:
            source.close()
    samples = np.concatenate(taken)[2400 : 2400 + 9600]
    assert int(np.abs(np.fft.rfft(samples)).argmax()) == 200  # 1000 Hz in 0.2 s
    assert source.state == "ended"


def test_a_lost_device_is_noticed_by_silence_and_taken_back(fake: Callable[..., FakePortAudio]) -> None:
    device = fake(["USB Mic", "Other"])
    source = MicrophoneSource("USB Mic")
    unplugged_ns = 0
    states: list[str] = []

    def plug_in_later() -> None:
        states.extend((source.state, source.reason))
        device.names = ["Other", "USB Mic"]  # another index now
        device.is_plugged = True

    for count, block in enumerate(source.blocks()):
        if count == 5:
            device.names, device.is_plugged, unplugged_ns = ["Other"], False, monotonic_ns()
            threading.Timer(0.5, plug_in_later).start()
        if source.reconnects:
            assert block.overflowed
            assert block.captured_ns > unplugged_ns + 400_000_000
            break
    source.close()
    assert states[0] == "waiting"
    assert "USB Mic" in states[1]
    assert source.reconnects == 1
    assert device.opened == ["USB Mic", "USB Mic"]  # never the other one


def test_no_device_and_unknown_names_list_what_there_is(fake: Callable[..., FakePortAudio]) -> None:
    fake(["Built-in", "USB Mic A", "USB Mic B"])
    with pytest.raises(AudioError, match="'Built-in', 'USB Mic A', 'USB Mic B'"):
        MicrophoneSource("Saxophone")
    with pytest.raises(AudioError, match="fits 2 input devices"):
        MicrophoneSource("usb")
    assert MicrophoneSource("mic a").description == "USB Mic A (Fake)"
    assert MicrophoneSource(None).description == "Built-in (Fake)"
    fake([])
    with pytest.raises(AudioError, match="--audio FILE"):
        MicrophoneSource(None)
