"""What is counted of a set, and that a planted leak is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.motion_store import FRAMES, write_motion, write_music

from soulstream_training.data.music_index import MusicEntry
from soulstream_training.data.recipe import DataRecipe
from soulstream_training.data.store import ClipEntry, read_index
from soulstream_training.data.summary import find_leaks, summarise


def clip(clip_id: str, split: str, partner: str = "", input_hash: str = "") -> ClipEntry:
    return ClipEntry(clip_id, input_hash or clip_id, split, "A", "salsa", 120.0, partner, "x", 300, 300)


def piece(clip_id: str, split: str, drums: str) -> MusicEntry:
    return MusicEntry(f"{clip_id}.0", "key", clip_id, split, "A", 0, True, num_frames=300, drums=drums)


CLEAN = [clip("lead", "train", "follow"), clip("follow", "train", "lead"), clip("other", "val"), clip("third", "test")]
HEARD = [piece("lead", "train", "funk 1"), piece("follow", "train", "funk 1"), piece("other", "val", "rock 2")]


def test_a_clean_set_has_no_leaks() -> None:
    assert find_leaks(CLEAN, HEARD) == []


@pytest.mark.parametrize(
    ("clips", "music", "kind"),
    [
        ([replace(CLEAN[0], split="val"), *CLEAN[1:]], [], "take"),
        ([*CLEAN, clip("copy", "test", input_hash="lead")], [], "recording"),
        (CLEAN, [*HEARD, piece("third", "train", "pop 3")], "rendering"),
        (CLEAN, [*HEARD, piece("third", "test", "rock 2")], "drum take"),
    ],
)
def test_a_planted_leak_is_found_and_named(clips: list[ClipEntry], music: list[MusicEntry], kind: str) -> None:
    leaks = find_leaks(clips, music)
    assert leaks
    assert all(leak.startswith(f"{kind}: ") for leak in leaks)


@pytest.mark.parametrize(
    ("shared", "kind"), [({"recording": "f.1"}, "recording"), ({"take": "t"}, "take"), ({"song": "s"}, "song")]
)
def test_a_leak_under_another_name_is_found(shared: dict[str, str], kind: str) -> None:
    one, two = (replace(clip(name, split), **shared) for name, split in (("one", "train"), ("two", "test")))
    assert find_leaks([one, two]) == [f"{kind}: two in test, one in train"]
    assert find_leaks([one, replace(two, split="train")]) == []


def test_a_ring_of_three_that_is_divided_is_found_although_a_partner_is_missing() -> None:
    ring = [clip("a", "train", "b"), clip("b", "train", "c"), clip("c", "test", "a")]
    takes = [replace(entry, take="a") for entry in (ring[1], ring[2])]
    assert find_leaks(takes) == ["take: c in test, b in train"]


def test_windows_minutes_and_hours_are_counted(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    write_music(tmp_path / "music")
    numbers = summarise(tmp_path / "store", tmp_path / "music", DataRecipe())
    clips = len(read_index(tmp_path / "store"))
    assert numbers["windows"] == clips * ((FRAMES - 150) // 15 + 1)
    assert numbers["minutes"] == pytest.approx(clips * FRAMES / 1800, abs=0.01)
    assert numbers["hours_paired"] == pytest.approx(2 * 2 * FRAMES / 30 / 3600, abs=0.01)
    assert numbers["leaks"] == 0
    without = summarise(tmp_path / "store", tmp_path / "nothing", DataRecipe())
    assert without["hours_paired"] == 0.0
