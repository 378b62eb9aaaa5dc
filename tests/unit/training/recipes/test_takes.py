from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.motion_store import FRAMES, write_motion, write_music

from soulstream_engine.motion.mirror import mirror_rows
from soulstream_engine.motion.representation import CONTACT, encode_body
from soulstream_training.data.store import load_clip, read_index, save_clip
from soulstream_training.recipes.takes import NEGATIVE_SHARE, UNPAIRED_SHARE, bent_stretches, danced, load_takes


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_motion(tmp_path / "store")
    write_music(tmp_path / "music")
    return tmp_path / "store", tmp_path / "music"


def test_a_rendering_comes_with_its_motion_or_with_the_mirror_image(
    folders: tuple[Path, Path],
) -> None:
    paired = [take for take in load_takes(*folders, "train") if take.music is not None]
    plain, mirrored = paired
    assert plain.rows.shape == (FRAMES - 1, 263)
    assert len(plain.music) >= len(plain.rows)
    assert not np.array_equal(plain.music, mirrored.music)
    assert np.allclose(mirrored.rows, mirror_rows(plain.rows))


def test_motion_without_music_keeps_to_its_share(folders: tuple[Path, Path]) -> None:
    takes = load_takes(*folders, "train")
    mass = {True: 0.0, False: 0.0}
    for take in takes:
        mass[take.music is None] += take.weight * len(take.rows)
    assert mass[True] / (mass[True] + mass[False]) == pytest.approx(UNPAIRED_SHARE, abs=0.01)


def test_sound_without_music_comes_with_somebody_who_waits_and_keeps_to_its_share(tmp_path: Path) -> None:
    write_motion(tmp_path / "store")
    write_music(tmp_path / "music", with_negative=True)
    takes = load_takes(tmp_path / "store", tmp_path / "music", "train")
    waiting = [take for take in takes if take.music is not None and np.abs(take.rows[:, :3]).max() < 1e-6]
    assert len(waiting) == 1
    assert len(waiting[0].music) > len(waiting[0].rows)
    mass = sum(take.weight * len(take.rows) for take in takes)
    assert waiting[0].weight * len(waiting[0].rows) / mass == pytest.approx(NEGATIVE_SHARE)
    assert all(np.abs(take.rows[:, :3]).max() > 0 for take in load_takes(tmp_path / "store", tmp_path / "music", "val"))


def test_other_splits_are_left_alone(folders: tuple[Path, Path]) -> None:
    assert len([take for take in load_takes(*folders, "val") if take.music is not None]) == 2
    assert all(take.music is None for take in load_takes(*folders, "test"))


def test_drifting_versions_leave_the_music_alone_and_say_what_to_learn(folders: tuple[Path, Path]) -> None:
    takes = [take for take in load_takes(*folders, "train", drifts=2) if take.music is not None]
    assert len(takes) == 2 * 3
    plain, drifting = takes[0], takes[1]
    assert plain.trust is None
    assert drifting.trust is not None
    assert 0.2 < drifting.trust.mean() < 1.0
    assert np.array_equal(plain.music, drifting.music)
    assert not np.allclose(plain.rows, drifting.rows[: len(plain.rows)], atol=1e-3)
    again = [take for take in load_takes(*folders, "train", drifts=2) if take.music is not None][1]
    assert np.array_equal(again.rows, drifting.rows)


def test_bent_motion_is_what_the_sampler_sees(folders: tuple[Path, Path]) -> None:
    plain, mirrored = bent_stretches(*folders, "train")
    takes = [take for take in load_takes(*folders, "train") if take.music is not None]
    assert np.array_equal(plain.rows, takes[0].rows)
    assert np.array_equal(mirrored.rows, takes[1].rows)
    assert (plain.is_mirrored, mirrored.is_mirrored) == (False, True)


def test_waiting_before_and_after_the_dance_is_left_out() -> None:
    frames = np.arange(300)
    root = np.full((300, 3), [0.0, 0.9, 0.0])
    root[:, 0] = np.interp(frames, [100, 200], [0.0, 3.0])  # stands, walks at 0.9 m/s, stands
    pose = np.zeros((300, 22, 4))
    pose[..., 0] = 1.0
    rows = encode_body(root, pose)
    kept = danced(rows)
    assert 80 < kept.start < 100
    assert 200 < kept.stop < 220
    assert danced(rows[:60]) == slice(0, 0)
    assert danced(rows[110:190]) == slice(0, 80)


def test_what_nobody_captured_is_worth_nothing_when_bent_either(folders: tuple[Path, Path]) -> None:
    store, music = folders
    (entry,) = [e for e in read_index(store) if e.clip_id == "clip_0"]
    clip = load_clip(store, entry)
    captured = clip.captured.copy()
    captured[10] = False  # left foot
    save_clip(
        store, "clip_0", root_m=clip.root_m, joint_wxyz=clip.joint_wxyz, segments=clip.segments, captured=captured
    )
    plain, mirrored = bent_stretches(store, music, "train")
    assert plain.weight[CONTACT].tolist() == [1, 0, 1, 1]
    assert mirrored.weight[CONTACT].tolist() == [1, 1, 1, 0]
