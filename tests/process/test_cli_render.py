"""``soulstream render`` takes any sound file and leaves one complete take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes.command import run_process

from soulstream_engine.bundle import default_bundle_path, read_arrays
from soulstream_engine.errors import BundleError
from soulstream_engine.motion.skeleton import forward_kinematics

try:
    default_bundle_path()
except BundleError as error:
    pytest.skip(f"needs the embedded model: {error.message}", allow_module_level=True)

MAX_KINEMATICS_ERROR_M = 1e-3
MAX_UNIT_ERROR = 1e-4


def beats(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A click every half second over a quiet tone."""
    time_s = np.arange(int(seconds * rate)) / rate
    sound = 0.1 * np.sin(2 * np.pi * 220 * time_s) + 0.8 * np.exp(-40 * (time_s % 0.5)) * np.sin(
        2 * np.pi * 90 * time_s
    )
    return np.repeat(sound[:, None], channels, axis=1).astype(np.float32)


FILES = {
    "three seconds, mono": (beats(3, 48_000), 48_000, "PCM_16"),
    "8 kHz": (beats(4, 8_000), 8_000, "PCM_16"),
    "24 bit, 96 kHz": (beats(4, 96_000, 2), 96_000, "PCM_24"),
    "six channels": (beats(4, 44_100, 6), 44_100, "FLOAT"),
    "silence": (np.zeros((4 * 48_000, 1), np.float32), 48_000, "PCM_16"),
    "a tenth of a second": (beats(0.1, 48_000), 48_000, "PCM_16"),
}


@pytest.mark.parametrize("kind", FILES)
def test_any_sound_file_simply_works(kind: str, tmp_path: Path) -> None:
    samples, rate, subtype = FILES[kind]
    soundfile.write(tmp_path / "song.wav", samples, rate, subtype=subtype)
    result = run_process("render", "song.wav", "--out", "take.npz", "--json", cwd=tmp_path)
    assert result.code == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert {"seconds_of_music", "seconds_taken", "realtime_factor", "frames"} <= set(report)
    take = read_arrays(tmp_path / "take.npz")
    assert report["frames"] == len(take["root_m"]) == -(-len(samples) * 30 // rate)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.wav", "take.npz"]
    assert_is_a_valid_take(take)
    if kind == "silence":
        assert (take["provenance"] == 3).mean() > 0.9


def assert_is_a_valid_take(take: dict[str, np.ndarray]) -> None:
    frames = len(take["root_m"])
    assert take["joints_m"].shape == (frames, 52, 3)
    assert take["joint_wxyz"].shape == (frames, 52, 4)
    assert take["rest_offsets_m"].shape == (52, 3)
    assert take["parents"].shape == (52,)
    assert take["contacts"].shape == (frames, 4)
    assert take["face"].shape[0] == frames
    assert int(take["fps"]) == 30
    assert all(np.isfinite(values).all() for values in take.values())
    if frames:
        assert np.abs(np.linalg.norm(take["joint_wxyz"], axis=-1) - 1).max() < MAX_UNIT_ERROR
        posed = forward_kinematics(take["root_m"], take["joint_wxyz"], take["rest_offsets_m"])
        assert np.abs(posed - take["joints_m"]).max() < MAX_KINEMATICS_ERROR_M


def test_the_same_seed_dances_the_same_and_bvh_holds_every_frame(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", beats(6, 48_000), 48_000)
    for name, seed in (("a.npz", "1"), ("b.npz", "1"), ("c.npz", "2"), ("a.bvh", "1")):
        result = run_process("render", "song.wav", "--out", name, "--seed", seed, cwd=tmp_path)
        assert result.code == 0, result.stderr
    takes = [read_arrays(tmp_path / name)["joint_wxyz"] for name in ("a.npz", "b.npz", "c.npz")]
    np.testing.assert_array_equal(takes[0], takes[1])
    assert np.abs(takes[0] - takes[2]).max() > 0.01
    text = (tmp_path / "a.bvh").read_text()
    assert f"Frames: {len(takes[0])}" in text
    assert len(text.split("Frame Time:")[1].strip().splitlines()) == 1 + len(takes[0])
