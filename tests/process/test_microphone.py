"""A real microphone path: PortAudio through a PulseAudio null sink whose monitor is recorded.

Each check runs in its own process, because PortAudio and the sound server's client read the environment once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.audio_hw

TOOLS = ("pulseaudio", "pactl", "paplay")
START_SERVER_S = 10.0


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a private sound server with one null sink, ``stage``; its monitor is the default input."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: pulseaudio pulseaudio-utils libasound2-plugins)")
    try:
        import sounddevice  # noqa: F401
    except OSError:
        pytest.skip("needs PortAudio (Debian: libportaudio2)")
    folder = tmp_path_factory.mktemp("pulse")
    folder.chmod(0o700)
    socket = folder / "pulse.sock"
    environment = os.environ | {
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
        "PULSE_SERVER": f"unix:{socket}",
        "PULSE_SINK": "stage",
        "PULSE_SOURCE": "stage.monitor",
    }
    server = subprocess.Popen(
        [
            *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
            f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
            "--load=module-null-sink sink_name=stage rate=44100 channels=2 format=s16le",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + START_SERVER_S
        while subprocess.run(["pactl", "info"], env=environment, capture_output=True, check=False).returncode:
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.skip("the sound server did not start")
            time.sleep(0.05)
        yield environment
    finally:
        server.terminate()
        server.wait(timeout=10)


def python(code: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_clicks_played_into_the_room_arrive_in_time(sound_server: dict[str, str], tmp_path: Path) -> None:
    clicks = np.zeros(48000 * 3, np.float32)
    for start in range(4800, len(clicks) - 480, 12000):
        clicks[start : start + 48] = 0.8
    soundfile.write(tmp_path / "clicks.wav", clicks, 48000)
    recording = python(
        """
        import json
        import numpy as np
        from soulstream_engine.audio.sources import open_source
        source = open_source("mic:pulse")
        samples, stamps, errors_ms = [], [], []
        first_ns = None
        for block in source.blocks():
            if first_ns is None:
                first_ns = block.captured_ns
                print("recording", flush=True)
            samples.append(block.samples)
            errors_ms.append((block.captured_ns - first_ns) / 1e6 - block.first_sample / 48.0)
            if block.first_sample > 48000 * 4.5:
                source.close()
        joined = np.concatenate(samples)
        loud = np.flatnonzero(np.abs(joined) > 0.3)
        starts = [int(n) for n in loud[np.diff(loud, prepend=-9999) > 2000]]
        print(json.dumps({
            "description": source.description, "starts": starts, "num": len(joined), "xruns": source.xruns,
            "reconnects": source.reconnects, "worst_ms": float(np.max(np.abs(errors_ms))),
        }))
        """,
        sound_server,
    )
    assert recording.stdout is not None
    line = recording.stdout.readline()
    assert line == "recording\n", recording.communicate(timeout=10)[1]
    subprocess.run(["paplay", str(tmp_path / "clicks.wav")], env=sound_server, check=True, timeout=20)
    out, err = recording.communicate(timeout=20)
    assert recording.returncode == 0, err
    result = json.loads(out)
    assert result["description"].startswith("pulse")
    assert len(result["starts"]) == 12
    assert np.diff(result["starts"]) == pytest.approx(12000, abs=48)
    assert result["xruns"] == 0
    assert result["reconnects"] == 0
    assert result["worst_ms"] < 100  # time stamps follow the samples


def test_a_session_dances_to_the_microphone(sound_server: dict[str, str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", 0.3 * np.sin(np.arange(48000 * 4) * 0.03), 48000)
    run = python(
        """
        import json, sys
        import numpy as np
        from soulstream_engine.audio.sources import open_source
        from soulstream_engine.frames import PoseFrame, Provenance
        from soulstream_engine.motion.idle import idle_pose
        from soulstream_engine.runtime.session import Session

        class Stream:
            num_samples = made = 0
            loudest = 0.0

            def push(self, samples):
                self.num_samples += len(samples)
                Stream.loudest = max(Stream.loudest, float(np.abs(samples).max()))
                frames = []
                while self.made < self.num_samples // 1600 + 8:
                    pose = idle_pose(0, [0, 0, 0], 0.0)
                    frames.append(PoseFrame(self.made, *pose, np.ones(4, np.float32), Provenance.GENERATED))
                    self.made += 1
                return frames

        class Sink:
            def send(self, frame, media_time_s):
                if frame.index == 0:
                    print("started", flush=True)

        summary = Session(open_source("mic"), Stream, [Sink()], seconds=5.0).run()
        print(json.dumps(summary | {"loudest": Stream.loudest}))
        """,
        sound_server,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "started\n"
    subprocess.run(["paplay", str(tmp_path / "hum.wav")], env=sound_server, check=True, timeout=20)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 0, err
    summary = json.loads(out)
    assert summary["frames"] == 150
    assert (summary["dropped"], summary["duplicated"]) == (0, 0)
    assert summary["generated"] > 45
    assert summary["loudest"] > 0.2


def test_what_is_played_is_heard_when_it_is_due(sound_server: dict[str, str]) -> None:
    check = python(
        """
        import json, threading, time
        import numpy as np
        from soulstream_engine.audio.microphone import MicrophoneSource
        from soulstream_engine.audio.paced import PacedSource
        clicks = np.zeros(48000 * 3, np.float32)
        for start in range(24000, len(clicks), 24000):
            clicks[start : start + 48] = 0.8
        microphone, heard_ns = MicrophoneSource("pulse"), []
        def record():
            for block in microphone.blocks():
                heard_ns.extend(block.captured_ns + int(n) * 1e9 / 48000 for n in np.flatnonzero(block.samples > 0.3))
        recorder = threading.Thread(target=record)
        recorder.start()
        while microphone.state != "listening":
            time.sleep(0.01)
        source = PacedSource("clicks", lambda: iter([clicks]), play=True, loop=False)
        start_ns = next(iter(blocks := source.blocks(lambda now_ns: now_ns + 100_000_000))).captured_ns
        for _ in blocks:
            pass
        time.sleep(0.3)
        source.close()
        microphone.close()
        recorder.join()
        heard_s = (np.array(heard_ns) - start_ns) / 1e9
        print(json.dumps(heard_s[np.diff(heard_s, prepend=-1) > 0.1].tolist()))
        """,
        sound_server,
    )
    out, err = check.communicate(timeout=30)
    assert check.returncode == 0, err
    assert json.loads(out) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5], abs=0.05)  # measured: within 5 ms


def test_a_device_that_falls_silent_is_noticed_and_heard_again(sound_server: dict[str, str]) -> None:
    check = python(
        """
        import json, subprocess, threading
        from soulstream_engine.audio.sources import open_source
        from soulstream_engine.clock import monotonic_ns
        source = open_source("mic:pulse")
        states = []
        def suspend(flag):
            subprocess.run(["pactl", "suspend-sink", "stage", flag], check=True)
        def resume():
            states.append((source.state, source.reason))
            suspend("0")
        for number, block in enumerate(source.blocks()):
            if number == 20:
                stopped_ns = monotonic_ns()
                suspend("1")
                threading.Timer(1.6, resume).start()
            if source.reconnects:
                states.append((source.state, source.reason))
                break
        print(json.dumps({"states": states, "gap_s": (block.captured_ns - stopped_ns) / 1e9, "lost": block.overflowed}))
        """,
        sound_server,
    )
    out, err = check.communicate(timeout=30)
    assert check.returncode == 0, err
    result = json.loads(out)
    (lost_state, lost_reason), back = result["states"]
    assert lost_state == "waiting"
    assert "pulse" in lost_reason
    assert back == ["listening", ""]
    assert result["lost"]
    assert 1.5 < result["gap_s"] < 10.0


def test_an_unknown_device_lists_those_that_exist(sound_server: dict[str, str]) -> None:
    check = python(
        """
        from soulstream_engine.audio.sources import open_source
        from soulstream_engine.errors import AudioError
        try:
            open_source("mic:Theremin")
        except AudioError as error:
            print(error.code, error.message)
        """,
        sound_server,
    )
    out, err = check.communicate(timeout=30)
    assert check.returncode == 0, err
    assert out.startswith("AUDIO_DEVICE_MISSING")
    assert "'pulse'" in out
