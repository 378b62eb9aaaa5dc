"""A take is written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from soulstream_engine.bundle import read_arrays
from soulstream_engine.cli import take_files
from soulstream_engine.cli.render import _shifted
from soulstream_engine.errors import SinkError
from soulstream_engine.frames import Provenance
from soulstream_engine.motion.skeleton import PARENTS, REST_OFFSETS_M
from soulstream_engine.runtime.render import Take


def still_take(frames: int) -> Take:
    wxyz = np.zeros((frames, 52, 4), np.float32)
    wxyz[..., 0] = 1
    kinds = (Provenance.GENERATED, Provenance.IDLE, Provenance.HELD, Provenance.BLENDED)
    return Take(
        joints_m=np.zeros((frames, 52, 3), np.float32),
        joint_wxyz=wxyz,
        root_m=np.zeros((frames, 3), np.float32),
        parents=PARENTS,
        rest_offsets_m=REST_OFFSETS_M,
        face=np.zeros((frames, 52), np.float32),
        contacts=np.ones((frames, 4), np.float32),
        fps=30,
        provenance=tuple(kinds[n % 4] for n in range(frames)),
        not_generated=("hands", "face"),
    )


def test_an_npz_holds_the_documented_arrays_and_no_pickle(tmp_path: Path) -> None:
    take_files.write_take(still_take(5), tmp_path / "take.npz")
    with np.load(tmp_path / "take.npz", allow_pickle=False) as stored:  # noqa: TID251 - as a user would open it
        assert set(stored.files) == set(
            "joints_m joint_wxyz root_m parents rest_offsets_m face contacts fps provenance not_generated".split()  # noqa: SIM905
        )
    assert read_arrays(tmp_path / "take.npz")["provenance"].tolist() == [0, 3, 2, 1, 0]
    assert read_arrays(tmp_path / "take.npz")["not_generated"].tolist() == [False, True, True]


def test_a_full_disk_leaves_the_older_take_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_take: Any, stream: IO[bytes]) -> None:
        stream.write(b"half a take")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(take_files.WRITERS, ".bvh", fill)
    target = tmp_path / "take.bvh"
    target.write_text("older")
    with pytest.raises(SinkError, match="No space left"):
        take_files.write_take(still_take(3), target)
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_stopping_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_take: Any, _stream: IO[bytes]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(take_files.WRITERS, ".npz", stop)
    with pytest.raises(KeyboardInterrupt):
        take_files.write_take(still_take(3), tmp_path / "take.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("offset_ms", "heard_at"), [(0.0, 4800), (100.0, 9600), (-50.0, 2400), (2000.0, None)])
def test_the_audio_offset_moves_the_music_and_keeps_its_length(offset_ms: float, heard_at: int | None) -> None:
    samples = np.zeros(48_000, np.float32)
    samples[4800] = 1.0
    moved = _shifted(samples, offset_ms)
    assert len(moved) == len(samples)
    assert np.flatnonzero(moved).tolist() == ([] if heard_at is None else [heard_at])
