"""The store: made once, made again when something changed, read without trust."""

from __future__ import annotations

import json

import numpy as np
import pytest

from soulstream_engine.errors import BundleError, ConfigError
from soulstream_training.data.prepare import prepare_cmu
from soulstream_training.data.store import body_rows, load_store, read_index, write_index

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
                "c,c.bvh,bvh,,24,10,aux,none,,,p,dab,",
            ]
        )
    )
    return recording


def test_prepared_clips_come_back(data, tmp_path):
    store = tmp_path / "store"
    assert [entry.clip_id for entry in prepare_cmu(data.folder, store, workers=1)] == ["a", "b"]
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
    prepare_cmu(data.folder, store, workers=1)
    before = {name: (store / f"{name}.npz").stat().st_mtime_ns for name in "ab"}
    data.motion(80, lambda frame: {"root": f"0 {40 + np.sin(frame)} 0 0 0 0"}, "b.amc")
    prepare_cmu(data.folder, store, workers=1)
    after = {name: (store / f"{name}.npz").stat().st_mtime_ns for name in "ab"}
    assert before["a"] == after["a"]
    assert before["b"] < after["b"]


def test_a_new_label_reaches_the_index_without_work(data, tmp_path):
    store = tmp_path / "store"
    prepare_cmu(data.folder, store, workers=1)
    before = (store / "a.npz").stat().st_mtime_ns
    table = data.folder / "clips.csv"
    table.write_text(table.read_text().replace("salsa", "mambo"))
    assert prepare_cmu(data.folder, store, workers=1)[0].style == "mambo"
    assert (store / "a.npz").stat().st_mtime_ns == before


def test_every_bad_clip_is_listed_and_the_good_ones_are_made(data, tmp_path):
    text = (data.folder / "a.amc").read_text()
    (data.folder / "a.amc").write_text(text[: len(text) // 2])
    store = tmp_path / "store"
    with pytest.raises(ConfigError, match=r"1 of 2 clips cannot be used:\s+a: a\.amc:\d+: "):
        prepare_cmu(data.folder, store, workers=1)
    assert [entry.clip_id for entry in read_index(store)] == ["b"]


def test_several_processes_give_the_same_store(data, tmp_path):
    prepare_cmu(data.folder, tmp_path / "one", workers=1)
    prepare_cmu(data.folder, tmp_path / "two", workers=2)
    for name in ("a.npz", "b.npz", "index.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_frame_count_must_agree_with_the_table(data, tmp_path):
    data.motion(79, sway, "b.amc")
    with pytest.raises(ConfigError, match=r"79 frames, clips\.csv says 80"):
        prepare_cmu(data.folder, tmp_path / "store", workers=1)


def test_damaged_stores_are_refused(data, tmp_path):
    store = tmp_path / "store"
    entries = prepare_cmu(data.folder, store, workers=1)
    archive = (store / "a.npz").read_bytes()
    (store / "a.npz").write_bytes(archive[:-200])
    with pytest.raises(BundleError):
        load_store(store)
    np.savez(store / "a.npz", root_m=np.zeros((3, 3), np.float32))
    with pytest.raises(ConfigError, match=r"a\.npz' holds float32\[3, 3\] as 'root_m', expected float32\[60, 3\]"):
        load_store(store)
    arrays = {"root_m": np.full((60, 3), np.nan, np.float32), "joint_wxyz": np.zeros((60, 22, 4), np.float32)}
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
    with pytest.raises(ConfigError, match="not of format 1"):
        load_store(store)
