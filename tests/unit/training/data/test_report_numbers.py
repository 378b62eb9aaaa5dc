"""What the report counts: minutes, energy, contacts, joint ranges, pairing, codes and what was left out, by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import BPM, FRAMES, write_motion, write_music

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import JOINT_INDEX, PELVIS_REST_HEIGHT_M
from soulstream_training.data.music_index import INDEX_NAME, MusicEntry
from soulstream_training.data.report_codes import CodeUsage
from soulstream_training.data.report_joints import JointRange
from soulstream_training.data.report_numbers import LEFT_OUT_NAME, ReportNumbers, gather, read_left_out
from soulstream_training.data.store import ClipEntry, body_rows, load_clip, read_index, save_clip, write_index
from soulstream_training.models.hrvq import Hrvq, toy_config

MINUTES = FRAMES / 1800


def entry(clip_id: str, num_frames: int, num_clean: int | None = None) -> ClipEntry:
    clean = num_frames if num_clean is None else num_clean
    return ClipEntry(clip_id, clip_id, "train", "A", "salsa", BPM, "", "x", num_frames, clean)


def standing(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    root = np.zeros((num_frames, 3), np.float32)
    root[:, 1] = PELVIS_REST_HEIGHT_M
    joints = np.zeros((num_frames, 22, 4), np.float32)
    joints[..., 0] = 1.0
    return root, joints


def store_of_one(folder: Path, root: np.ndarray, joints: np.ndarray, **arrays: np.ndarray) -> ReportNumbers:
    folder.mkdir()
    segments = arrays.pop("segments", np.array([[0, len(root)]], np.int32))
    save_clip(folder, "one", root_m=root, joint_wxyz=joints, segments=segments, **arrays)
    write_index(folder, [entry("one", len(root), int((segments[:, 1] - segments[:, 0]).sum()))])
    return gather(folder, None)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made_up")
    write_motion(folder / "store")
    write_music(folder / "music")
    entries = read_index(folder / "store")
    labels = [("ann", "disco", "CMU-MOCAP"), ("ann", "salsa", "CMU-MOCAP"), ("bob", "salsa", "CC0-1.0"), ("bob",) * 3]
    write_index(
        folder / "store",
        [replace(e, performer=p, style=s, licence=i) for e, (p, s, i) in zip(entries, labels, strict=True)],
    )
    return folder / "store", folder / "music"


def test_groups_are_counted_as_by_hand(made_up: tuple[Path, Path]) -> None:
    numbers = gather(*made_up)
    assert numbers.minutes == pytest.approx(4 * MINUTES)
    performers = [(t.name, t.num_clips, t.num_kinds) for t in numbers.performers]
    assert performers == [("ann", 2, 2), ("bob", 2, 2)]
    styles = [(t.name, t.num_clips, t.num_kinds, pytest.approx(t.minutes)) for t in numbers.styles]
    assert styles == [
        ("salsa", 2, 2, 2 * MINUTES),
        ("bob", 1, 1, MINUTES),
        ("disco", 1, 1, MINUTES),
    ]
    assert [(t.name, t.num_clips) for t in numbers.licences] == [("CMU-MOCAP", 2), ("CC0-1.0", 1), ("bob", 1)]
    energies = [clip.energy_mps for clip in numbers.clips]
    assert numbers.performers[0].energy_mps == pytest.approx(np.mean(energies[:2]))


def test_splits_and_classes_are_counted_as_by_hand(made_up: tuple[Path, Path]) -> None:
    found = gather(*made_up).splits_and_classes
    one = (1, pytest.approx(MINUTES))
    assert found == {("train", "A"): one, ("train", "C"): one, ("val", "A"): one, ("test", "A"): one}


def test_hours_with_music_count_every_rendering_once(made_up: tuple[Path, Path]) -> None:
    store, music = made_up
    assert gather(store, music).hours_paired == pytest.approx(2 * 2 * MINUTES / 60)
    assert gather(store, None).hours_paired == 0.0
    assert gather(store, store).music == ()


def test_energy_is_the_mean_speed_of_the_joints_and_a_foot_that_stands_is_planted(tmp_path: Path) -> None:
    root, joints = standing(90)
    still = store_of_one(tmp_path / "still", root, joints).clips[0]
    assert still.energy_mps == pytest.approx(0.0, abs=1e-6)
    assert still.contact_share == (1.0, 1.0, 1.0, 1.0)
    root[:, 2] = np.arange(90) * 1.5 / 30
    moved = store_of_one(tmp_path / "moved", root, joints).clips[0]
    assert moved.energy_mps == pytest.approx(1.5, rel=1e-4)
    assert moved.contact_share == (0.0, 0.0, 0.0, 0.0)


def test_only_clean_segments_count(tmp_path: Path) -> None:
    root, joints = standing(90)
    root[30:60, 2] = np.arange(30) * 10.0
    numbers = store_of_one(tmp_path / "store", root, joints, segments=np.array([[0, 30], [60, 90]], np.int32))
    assert numbers.clips[0].energy_mps == pytest.approx(0.0, abs=1e-6)
    assert numbers.minutes == pytest.approx(60 / 1800)


def test_joint_ranges_are_percentiles_about_three_axes(tmp_path: Path) -> None:
    root, joints = standing(101)
    elbow = JOINT_INDEX["left_elbow"]
    joints[:, elbow] = from_axis_angle(np.array([0.0, 1.0, 0.0]), np.radians(np.arange(101.0)))
    joints[::2] *= -1.0  # the same rotations
    captured = np.arange(52) < 22
    captured[JOINT_INDEX["head"]] = False
    found = {joint.name: joint for joint in store_of_one(tmp_path / "store", root, joints, captured=captured).joints}
    assert found["left_elbow"] == JointRange("left_elbow", (0.0, 1.0, 0.0), (0.0, 50.0, 0.0), (0.0, 99.0, 0.0))
    assert found["left_elbow"].widest_deg == 98.0
    assert found["right_elbow"].widest_deg == 0.0
    assert len(found) == 20
    assert "head" not in found


def test_a_store_without_clips_or_clean_frames_has_numbers_too(tmp_path: Path) -> None:
    root, joints = standing(30)
    numbers = store_of_one(tmp_path / "store", root, joints, segments=np.zeros((0, 2), np.int32))
    assert numbers.clips[0].energy_mps == 0.0
    assert numbers.clips[0].contact_share == (0.0, 0.0, 0.0, 0.0)
    assert numbers.joints == ()
    assert numbers.performers[0].energy_mps == 0.0
    write_index(tmp_path / "store", [])
    assert gather(tmp_path / "store", None).performers == []


def test_pairings_are_medians_over_paired_renderings(made_up: tuple[Path, Path], tmp_path: Path) -> None:
    def piece(number: int, clip_id: str, **values: float) -> MusicEntry:
        found = {"is_paired": True, "bpm": 120.0} | values
        return MusicEntry(f"{clip_id}.{number}", "key", clip_id, "train", "A", number, **found)  # type: ignore[arg-type]

    music = [
        piece(0, "clip_0", bpm=100.0, shift_p=0.01, refit_p=0.2, on_beat=0.8, residual_ms=30.0),
        piece(1, "clip_0", bpm=150.0, shift_p=0.03, refit_p=0.4, on_beat=0.9, residual_ms=50.0),
        piece(2, "clip_0", is_paired=False, shift_p=1.0, refit_p=1.0),
        piece(0, "clip_2", is_paired=False),
        piece(0, "gone"),
    ]
    (tmp_path / INDEX_NAME).write_text(json.dumps({"renderings": [asdict(item) for item in music]}))
    first, second = gather(made_up[0], tmp_path).pairings
    assert (first.clip_id, first.num_renderings, first.num_paired, first.bpm) == ("clip_0", 3, 2, (100.0, 150.0))
    fit = (first.shift_p, first.refit_p, first.on_beat, first.residual_ms)
    assert fit == pytest.approx((0.02, 0.3, 0.85, 40.0))
    assert (second.num_paired, second.shift_p, second.bpm) == (0, 1.0, (0.0, 0.0))


def test_codes_are_counted_over_the_store(made_up: tuple[Path, Path]) -> None:
    torch.manual_seed(0)
    tokenizer = Hrvq(toy_config()).eval()
    store = made_up[0]
    codes = []
    for item in read_index(store):
        (rows,) = body_rows(load_clip(store, item))
        codes.append(tokenizer.tokenize(torch.from_numpy(rows[None, : len(rows) // 4 * 4]))[0, 0])
    first = torch.cat(codes)[:, 0]
    counts = torch.bincount(first, minlength=16).double()
    share = counts[counts > 0] / counts.sum()
    level, *others = gather(store, None, tokenizer).codes
    assert (level.part, level.level, level.num_tokens) == ("body", 0, len(first))
    assert (level.num_used, level.num_codes) == (len(share), 16)
    assert level.perplexity == pytest.approx(float(torch.exp(-(share * share.log()).sum())))
    assert level.shares == tuple(sorted((counts / counts.sum()).tolist(), reverse=True))
    assert [other.level for other in others] == [1, 2]


def test_a_tokenizer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes 10 features") as caught:
        CodeUsage(Hrvq(toy_config(part_dims=(10,))).eval())
    assert caught.value.code == "TOKENIZER_UNFIT"
    with pytest.raises(ValueError, match="training mode"):
        CodeUsage(Hrvq(toy_config()))


def test_what_was_left_out_is_read_and_not_knowing_is_told_apart_from_nothing(tmp_path: Path) -> None:
    assert read_left_out(tmp_path) is None
    path = tmp_path / LEFT_OUT_NAME
    path.write_text('{"left_out": []}')
    assert read_left_out(tmp_path) == ()
    path.write_text('{"left_out": [{"clip_id": "a", "reason": "too short"}, {"clip_id": "b", "reason": "no file"}]}')
    assert read_left_out(tmp_path) == (("a", "too short"), ("b", "no file"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"left_out": 3}', '{"left_out": [{"clip_id": "a"}]}', "[" * 9999])
def test_a_broken_list_of_what_was_left_out_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / LEFT_OUT_NAME).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_left_out(tmp_path)
    assert caught.value.code == "LEFT_OUT_INVALID"


def test_hands_and_faces_by_rule_are_told_from_captured_ones(tmp_path: Path) -> None:
    root, joints = standing(300)
    synthetic = np.ones((300, 2), np.bool_)
    synthetic[:, 0] = False
    numbers = store_of_one(tmp_path / "store", root, joints, synthetic=synthetic)
    hands, face = numbers.parts
    assert (hands.captured_minutes, hands.rule_minutes) == pytest.approx((300 / 1800, 0))
    assert (face.captured_minutes, face.rule_minutes) == pytest.approx((0, 300 / 1800))
    assert dict(face.values)["above the limit of a shape"] == "0.00"
