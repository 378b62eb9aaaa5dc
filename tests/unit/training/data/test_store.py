"""The store: made once, made again when something changed, read without trust."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from fakes.named_figures import dance

from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.bvh import bvh_lines
from soulstream_training.data import store_index
from soulstream_training.data.clips import MAX_ROWS
from soulstream_training.data.prepare import Prepared, prepare
from soulstream_training.data.recipe import DataRecipe, Quality
from soulstream_training.data.store import body_rows, is_whole, load_store, read_index, save_clip, write_index
from soulstream_training.data.store_index import (
    INDEX_NAME,
    JOURNAL_NAME,
    REJECTED_NAME,
    ClipEntry,
    append_journal,
    read_known,
    write_rejected,
)

ANYTHING = Quality(foot_slide_mps=1e9, jitter_mps3=1e9, limit_share=1.0, floor_penetration_m=1e9)
ACCLAIM = DataRecipe(formats=("amc+asf",), quality=ANYTHING)
HEADER = "id,path,format,skeleton,true_fps,frames,split,pairing_class,tempo_bpm,partner_id,performer,style,bad_frames"


def sway(frame):
    return {"root": f"{5 * np.sin(frame / 20)} 40 0 0 0 0", "lfemur": f"{10 * np.sin(frame / 10)} 0 0"}


@pytest.fixture
def data(recording):
    recording.skeleton()
    recording.motion(120, sway, "a.amc")
    recording.motion(80, sway, "b.amc")
    (recording.folder / "clips.csv").write_text(
        "\n".join(
            [
                HEADER,
                "a,a.amc,amc+asf,1.asf,60,120,train,A,165,b,p,salsa,",
                "b,b.amc,amc+asf,1.asf,60,80,val,C,,a,p,modern,",
                "c,c.bvh,bvh,,24,48,aux,none,,,p,dab,",
            ]
        )
    )
    return recording


def prepare_all(folder, store) -> Prepared:
    return prepare(ACCLAIM, folder, store, workers=1)


def test_prepared_clips_come_back(data, tmp_path):
    store = tmp_path / "store"
    assert [entry.clip_id for entry in prepare_all(data.folder, store).entries] == ["a", "b"]
    first, second = load_store(store)
    assert (first.entry.split, first.entry.tempo_bpm, first.entry.partner_id) == ("train", 165, "b")
    assert (second.entry.style, second.entry.tempo_bpm) == ("modern", None)
    assert first.root_m.shape == (60, 3)
    assert first.joint_wxyz.shape == (60, 22, 4)
    np.testing.assert_allclose(np.linalg.norm(first.joint_wxyz, axis=-1), 1, atol=1e-5)
    (rows,) = body_rows(first)
    assert rows.shape == (59, 263)
    assert [clip.entry.clip_id for clip in load_store(store, ["val"])] == ["b"]


def test_unchanged_clips_are_not_made_again_and_changed_ones_are(data, tmp_path):
    store = tmp_path / "store"
    prepare_all(data.folder, store)
    before = {name: (store / f"{name}.npz").stat().st_mtime_ns for name in "ab"}
    data.motion(80, lambda frame: {"root": f"0 {40 + np.sin(frame)} 0 0 0 0"}, "b.amc")
    prepare_all(data.folder, store)
    after = {name: (store / f"{name}.npz").stat().st_mtime_ns for name in "ab"}
    assert before["a"] == after["a"]
    assert before["b"] < after["b"]


def test_a_new_label_reaches_the_index_without_work(data, tmp_path):
    store = tmp_path / "store"
    prepare_all(data.folder, store)
    before = (store / "a.npz").stat().st_mtime_ns
    table = data.folder / "clips.csv"
    table.write_text(table.read_text().replace("salsa", "mambo"))
    assert prepare_all(data.folder, store).entries[0].style == "mambo"
    assert (store / "a.npz").stat().st_mtime_ns == before


def test_what_cannot_be_used_is_left_out_by_name_and_line_and_the_rest_goes_on(data, tmp_path):
    text = (data.folder / "a.amc").read_text()
    (data.folder / "a.amc").write_text(text[: len(text) // 2])
    store = tmp_path / "store"
    prepared = prepare(DataRecipe(quality=ANYTHING), data.folder, store, workers=1)
    reasons = {item.clip_id: item.reason for item in prepared.left_out}
    assert reasons.keys() == {"a", "c"}
    assert re.match(r"a\.amc:\d+: ", reasons["a"])
    assert "'c.bvh' cannot be read" in reasons["c"]
    assert [entry.clip_id for entry in read_index(store)] == ["b"]


def test_a_bvh_is_found_its_map_resampled_and_told_from_what_was_not_captured(data, tmp_path):
    joints = dance(48, 52)
    root_m = np.tile([0.0, 0.95, 0.0], (48, 1))
    (data.folder / "c.bvh").write_text("\n".join(bvh_lines(root_m, joints, 24.0)) + "\n")
    prepared = prepare(DataRecipe(formats=("bvh",), quality=ANYTHING), data.folder, tmp_path / "store", workers=1)
    assert prepared.left_out == ()
    (clip,) = load_store(tmp_path / "store")
    assert len(clip.root_m) == 59, "47 steps of 1/24 s"
    assert clip.captured.all()
    assert clip.finger_wxyz.shape == (59, 30, 4)
    facing = rotations.rotate(clip.joint_wxyz[[0, -1], 0], np.array([0.0, 0.0, 1.0]))
    assert facing[1, 0] - facing[0, 0] > 0.8, "she turns left by a quarter"


def test_a_clip_worse_than_the_limits_is_left_out_with_both_numbers(data, tmp_path):
    strict = DataRecipe(formats=("amc+asf",), quality=ANYTHING.model_copy(update={"jitter_mps3": 0.001}))
    prepared = prepare(strict, data.folder, tmp_path / "store", workers=1)
    assert prepared.entries == ()
    assert "jitter_mps3 is" in prepared.left_out[0].reason
    assert "the limit is 0.001" in prepared.left_out[0].reason
    assert read_index(tmp_path / "store") == []
    assert len(prepare_all(data.folder, tmp_path / "store").entries) == 2


def test_a_recipe_that_names_a_clip_nobody_knows_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"\['nobody'\] that clips\.csv has not"):
        prepare(DataRecipe(clips={"nobody": {"rest_frame": 1}}), data.folder, tmp_path / "store")


def test_several_processes_give_the_same_store(data, tmp_path):
    prepare_all(data.folder, tmp_path / "one")
    prepare(ACCLAIM, data.folder, tmp_path / "two", workers=2)
    for name in ("a.npz", "b.npz", "index.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_frame_count_must_agree_with_the_table(data, tmp_path):
    data.motion(79, sway, "b.amc")
    (left_out,) = prepare_all(data.folder, tmp_path / "store").left_out
    assert "79 frames, the table says 80" in left_out.reason


def test_damaged_stores_are_refused(data, tmp_path):
    store = tmp_path / "store"
    entries = prepare_all(data.folder, store).entries
    archive = (store / "a.npz").read_bytes()
    (store / "a.npz").write_bytes(archive[:-200])
    with pytest.raises(BundleError):
        load_store(store)
    np.savez(store / "a.npz", root_m=np.zeros((3, 3), np.float32))
    with pytest.raises(ConfigError, match=r"a\.npz' holds float32\[3, 3\] as 'root_m', expected float32\[60, 3\]"):
        load_store(store)
    arrays = {"root_m": np.full((60, 3), np.nan, np.float32), "joint_wxyz": np.zeros((60, 22, 4), np.float32)}
    arrays["captured"] = np.arange(52) < 22
    arrays |= {"finger_wxyz": np.zeros((60, 30, 4), np.float32), "face": np.zeros((60, 52), np.float32)}
    arrays["synthetic"] = np.ones((60, 2), np.bool_)
    np.savez(store / "a.npz", **arrays, segments=np.zeros((0, 2), np.int32))
    with pytest.raises(ConfigError, match="not finite"):
        load_store(store)
    arrays["root_m"][:] = 0
    np.savez(store / "a.npz", **arrays, segments=np.array([[0, 99]], np.int32))
    with pytest.raises(ConfigError, match="outside of 60 frames"):
        load_store(store)
    write_index(store, entries)
    document = json.loads((store / "index.json").read_text())
    document["clips"][0]["clip_id"] = "../../a"
    (store / "index.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="not a plain clip name"):
        load_store(store)
    (store / "index.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="not of format 3"):
        load_store(store)


def test_a_missing_store_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="holds no store") as caught:
        read_index(tmp_path)
    assert "soulstream-train data prepare" in caught.value.hint


ENTRY = ClipEntry("a", "h" * 64, "train", "real", "salsa", 120.0, "b", "p", 300, 300, size=1)


def test_torn_lines_of_the_journal_are_passed_over_and_never_written_behind(tmp_path):
    for number, name in enumerate("abc"):
        append_journal(tmp_path, replace(ENTRY, clip_id=name))
        with (tmp_path / JOURNAL_NAME).open("ab") as stream:
            stream.write(b'{"clip_id": "to\xff'[: 8 + 8 * number])
    with (tmp_path / JOURNAL_NAME).open("ab") as stream:
        stream.write(b'\n{"of": "an older format"}\n\0\0\n' + b"[" * 100_000)
    append_journal(tmp_path, replace(ENTRY, clip_id="d"))
    assert list(read_known(tmp_path)) == list("abcd")


def test_what_is_known_comes_from_all_lists_and_an_older_or_missing_one_is_empty(tmp_path):
    assert read_known(tmp_path) == {}
    write_index(tmp_path, [ENTRY])
    write_rejected(tmp_path, [replace(ENTRY, clip_id="bad")])
    assert sorted(read_known(tmp_path)) == ["a", "bad"]
    for name in (INDEX_NAME, REJECTED_NAME):
        (tmp_path / name).write_text('{"format": 2, "clips": [{"other": 1}]}')
    assert read_known(tmp_path) == {}


@pytest.mark.parametrize("name", [INDEX_NAME, REJECTED_NAME])
@pytest.mark.parametrize("text", ["{", "[]", '{"format": 3}', '{"format": 4, "clips": []}', '{"clips": []}'])
def test_a_broken_list_is_not_taken_for_an_empty_one(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f"'{name}'") as caught:
        read_known(tmp_path)
    assert "Delete it to have every clip made again" in caught.value.hint


def test_a_list_that_is_too_large_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    write_index(tmp_path, [ENTRY])
    monkeypatch.setattr(store_index, "MAX_INDEX_BYTES", 100)
    with pytest.raises(ConfigError, match="is larger than 100 bytes"):
        read_known(tmp_path)


def test_as_many_clips_as_a_table_may_have_fit_into_an_index(tmp_path):
    full = replace(
        ENTRY,
        clip_id="n" * 60,
        partner_id="n" * 60,
        take="n" * 60,
        style="s" * 30,
        licence="l" * 30,
        music="m" * 80,
        recording="r" * 66,
        song="s" * 64,
    )
    full = replace(full, foot_slide_mps=0.1 + 0.2, source_slide_mps=0.1 + 0.2, jitter_mps3=73.63909932297558)
    write_index(tmp_path, [full] * 10)
    assert (tmp_path / INDEX_NAME).stat().st_size / 10 * MAX_ROWS < store_index.MAX_INDEX_BYTES


def test_a_clip_is_whole_by_its_size_or_where_that_is_unknown_by_its_end(tmp_path):
    assert not is_whole(tmp_path, ENTRY)
    root_m, wxyz = np.zeros((9, 3), np.float32), np.zeros((9, 22, 4), np.float32)
    size = save_clip(tmp_path, "a", root_m=root_m, joint_wxyz=wxyz, segments=np.zeros((0, 2), np.int32))
    path = tmp_path / "a.npz"
    assert size == path.stat().st_size
    known, unknown = replace(ENTRY, size=size), replace(ENTRY, size=0)
    assert is_whole(tmp_path, known)
    assert is_whole(tmp_path, unknown)
    path.write_bytes(path.read_bytes()[:-30])
    assert not is_whole(tmp_path, known)
    assert not is_whole(tmp_path, unknown)
