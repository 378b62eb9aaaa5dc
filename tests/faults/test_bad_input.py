"""Bad input gives one clear error with value, limit and remedy, the documented exit code, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes.bundle_files import write_bundle
from fakes.command import Result, run_here

Command = Callable[..., Result]


@pytest.fixture
def soulstream(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: run_here(monkeypatch, capfd, *arguments)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a toy model, a good song, bad songs and an empty folder ``out``."""
    (tmp_path / "out").mkdir()
    (tmp_path / "folder.wav").mkdir()
    write_bundle(tmp_path / "toy")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "noise.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.mp3").write_text("this is no music\n" * 50)
    soundfile.write(tmp_path / "song.wav", np.zeros(4800, np.float32), 48_000)
    cut = (tmp_path / "song.wav").read_bytes()[:30]
    (tmp_path / "cut.wav").write_bytes(cut)
    return tmp_path


def assert_one_clear_error(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result.stderr
    assert sum(line.startswith(("Error: ", "╭─ Error")) for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert "bug" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


SONGS = {
    "missing": ("nothing.wav", "nothing.wav"),
    "empty": ("empty.wav", "empty.wav"),
    "random bytes": ("noise.wav", "noise.wav"),
    "text": ("text.mp3", "text.mp3"),
    "cut in its header": ("cut.wav", "cut.wav"),
    "a folder": ("folder.wav", "folder.wav"),
}


@pytest.mark.parametrize("kind", SONGS)
@pytest.mark.parametrize("command", ["render", "run", "beats"])
def test_a_song_that_cannot_be_read(kind: str, command: str, place: Path, soulstream: Command) -> None:
    name, word = SONGS[kind]
    song = str(place / name)
    if command == "render":
        result = soulstream("render", song, "--out", str(place / "out" / "take.npz"), "--bundle", str(place / "toy"))
    elif command == "beats":
        result = soulstream("beats", song)
    else:
        result = soulstream("run", "--audio", song, "--no-preview", "--seconds", "1", "--bundle", str(place / "toy"))
    assert_one_clear_error(result, 5, word)
    assert list((place / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("out", "code", "word"),
    [
        ("take.mp4", 2, ".bvh, .npz"),
        ("take", 2, ".bvh, .npz"),
        ("nowhere/take.npz", 6, "nowhere"),
        ("song.wav/take.bvh", 6, "song.wav"),
        ("folder.npz", 6, "is a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    out: str, code: int, word: str, place: Path, soulstream: Command
) -> None:
    (place / "folder.npz").mkdir()
    before = sorted(place.rglob("*"))
    result = soulstream("render", str(place / "nothing.wav"), "--out", str(place / out))
    assert_one_clear_error(result, code, word)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--osc", "ftp://127.0.0.1:1"], 2, ["ftp"]),
        (["--osc", "127.0.0.1:39539"], 2, ["vmc://"]),
        (["--osc", "vmc://127.0.0.1:99999"], 2, ["99999"]),
        (["--osc", "vmc://no-such-host.invalid:39539"], 6, ["no-such-host.invalid"]),
        (["--audio", "mic:No Such Device"], 5, ["device"]),
        (["--audio", ""], 2, ["audio"]),
        (["--audio", "-", "--pipe-format", "mp3"], 2, ["mp3", "s16le"]),
        (["--fps", "25"], 2, ["30, 60 or 120", "25"]),
        (["--seconds", "-1"], 2, ["greater than 0", "-1"]),
        (["--seed", "-1"], 2, ["seed", "-1"]),
        (["--audio-offset", "5000"], 2, ["2000", "5000"]),
        (["--preview-port", "80"], 2, ["1024", "80"]),
        (["--config", "nothing.toml"], 2, ["nothing.toml"]),
        (["--fps", "fast"], 2, ["--fps"]),
        (["--colour", "red"], 2, ["--colour"]),
    ],
)
def test_an_option_that_cannot_be_used(
    arguments: list[str], code: int, words: list[str], place: Path, soulstream: Command
) -> None:
    start = ["run", "--audio", "demo", "--no-preview", "--no-play", "--seconds", "1", "--bundle", str(place / "toy")]
    assert_one_clear_error(soulstream(*start, *arguments), code, *words)


def flip(folder: Path) -> None:
    data = bytearray((folder / "step.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "step.onnx").write_bytes(bytes(data))


def newer(folder: Path) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, "schema_version": 99}))


BUNDLES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "wrong hash": (flip, ["step.onnx", "SHA-256"]),
    "missing file": (lambda folder: (folder / "stats.npz").unlink(), ["stats.npz"]),
    "newer schema": (newer, ["99", "Update soulstream"]),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), ["manifest.json"]),
}


@pytest.mark.parametrize("fault", BUNDLES)
@pytest.mark.parametrize("command", ["render", "run", "bench"])
def test_a_model_that_cannot_be_trusted(fault: str, command: str, place: Path, soulstream: Command) -> None:
    damage, words = BUNDLES[fault]
    damage(place / "toy")
    arguments = {
        "render": ["render", str(place / "song.wav"), "--out", str(place / "out" / "take.npz")],
        "run": ["run", "--audio", "demo", "--no-preview", "--no-play", "--seconds", "20"],
        "bench": ["bench"],
    }[command]
    assert_one_clear_error(soulstream(*arguments, "--bundle", str(place / "toy")), 3, *words)
    assert list((place / "out").iterdir()) == []


def test_an_older_take_survives_a_failed_render(place: Path, soulstream: Command) -> None:
    take = place / "out" / "take.npz"
    take.write_bytes(b"older")
    flip(place / "toy")
    soulstream("render", str(place / "song.wav"), "--out", str(take), "--bundle", str(place / "toy"))
    assert take.read_bytes() == b"older"


def test_an_unexpected_error_is_short_and_says_it_is_our_bug(
    place: Path, soulstream: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one by zero")

    monkeypatch.setattr("soulstream_engine.audio.portaudio.list_input_devices", fail)
    result = soulstream("devices")
    assert result.code == 70
    assert "ZeroDivisionError: one by zero" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 4
