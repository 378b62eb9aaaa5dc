"""What a recording is: its content and its dancer, packed or plain, and who dances together."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from soulstream_training.data import fingerprints as module
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.clips import ClipRow
from soulstream_training.data.fingerprints import Fingerprints, takes_of

ROW = ClipRow("a", PurePosixPath("a.bvh"), "bvh", None, 30.0, 9, "train", "B", None, "", "p", "s", ())
TEXT = b"HIERARCHY " * 500


def test_packed_and_plain_are_one_recording(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(TEXT)
    (tmp_path / "b.bvh.gz").write_bytes(gzip.compress(TEXT[:70]) + gzip.compress(TEXT[70:]))
    packed = replace(ROW, path=PurePosixPath("b.bvh.gz"))
    hashes = Fingerprints()
    assert hashes.recording(tmp_path, ROW) == hashes.recording(tmp_path, packed)
    assert hashes.recording(tmp_path, ROW) == hashes.recording(tmp_path, replace(ROW, dancer=1))
    assert hashes.recording(tmp_path, ROW) != hashes.recording(tmp_path, replace(ROW, dancer=2))
    raw = (tmp_path / "b.bvh.gz").read_bytes()
    assert hashes.of(tmp_path / "b.bvh.gz").raw == hashlib.sha256(raw).digest()


@pytest.mark.parametrize("text", [b"no archive", gzip.compress(TEXT)[:-30], gzip.compress(TEXT) + b"rest"])
def test_a_broken_archive_is_hashed_as_it_is(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.bvh.gz").write_bytes(text)
    found = Fingerprints().of(tmp_path / "a.bvh.gz")
    assert found.raw == hashlib.sha256(text).digest()
    assert found.content == found.raw.hex()


def test_an_archive_larger_than_any_reader_takes_is_not_unpacked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    (tmp_path / "a.bvh.gz").write_bytes(gzip.compress(TEXT))
    found = Fingerprints().of(tmp_path / "a.bvh.gz")
    assert found.content == found.raw.hex()


def test_every_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(TEXT)
    hashes = Fingerprints()
    first = hashes.of(tmp_path / "a.bvh")
    (tmp_path / "a.bvh").unlink()
    assert hashes.of(tmp_path / "a.bvh") is first
    with pytest.raises(MotionFileError, match=r"'b\.bvh' cannot be read"):
        hashes.of(tmp_path / "b.bvh")


def test_a_song_is_its_content_or_nothing(tmp_path: Path) -> None:
    for name in ("x.wav", "y.wav"):
        (tmp_path / name).write_bytes(b"sound")
    hashes = Fingerprints()
    one, two, gone = (hashes.song(tmp_path, replace(ROW, music=PurePosixPath(n))) for n in ("x.wav", "y.wav", "z.wav"))
    assert one == two != ""
    assert gone == hashes.song(tmp_path, ROW) == ""


def test_a_ring_a_chain_and_a_file_are_takes() -> None:
    pairs = {"b": "c", "c": "a", "a": "b", "x": "gone", "y": "gone", "solo": ""}
    rows = [replace(ROW, clip_id=name, partner_id=partner) for name, partner in pairs.items()]
    rows += [replace(ROW, clip_id=f"duo.{n}", path=PurePosixPath("duo.npy"), dancer=n) for n in (1, 2)]
    takes = takes_of(rows)
    assert takes == {"a": "a", "b": "a", "c": "a", "x": "gone", "y": "gone", "duo.1": "duo.1", "duo.2": "duo.1"}
