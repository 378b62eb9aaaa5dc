"""The preparation of a whole set: what is broken is named and left out, what is done is kept, every part is filled."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from fakes.g1_files import rows as g1_rows
from fakes.g1_files import write_rows, write_tree
from fakes.model_poses import path_m, rotvecs, write_bomb, write_pickle
from fakes.named_figures import dance

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.bvh import bvh_lines
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES
from soulstream_training.data import prepare as module
from soulstream_training.data.guard import check_apart, learned_from
from soulstream_training.data.prepare import prepare
from soulstream_training.data.recipe import DataRecipe, Quality
from soulstream_training.data.report_numbers import gather
from soulstream_training.data.store import JOURNAL_NAME, load_store, read_index, write_index

HEADER = (
    "id,path,format,skeleton,true_fps,frames,split,pairing_class,tempo_bpm,partner_id,performer,style,bad_frames,"
    "dancer,music,face"
)
ANYTHING = DataRecipe(quality=Quality(foot_slide_mps=1e9, jitter_mps3=1e9, limit_share=1.0, floor_penetration_m=1e9))


def line(name, path, kind, *, fps=60, frames=120, skeleton="", pairing="none", **more):
    more = {"dancer": "", "music": "", "face": "", "partner": ""} | more
    cells = (name, path, kind, skeleton, fps, frames, "train", pairing, "", more["partner"], "p", "s", "")
    return ",".join(map(str, (*cells, more["dancer"], more["music"], more["face"])))


def write_table(folder, *lines):
    (folder / "clips.csv").write_text("\n".join([HEADER, *lines, ""]))


def write_bvh(path, num_frames=48, fps=24.0):
    root_m = np.tile([0.0, 0.95, 0.0], (num_frames, 1))
    path.write_text("\n".join(bvh_lines(root_m, dance(num_frames, 52), fps)) + "\n")


class Command:
    """What a pickle must not be able to do."""

    def __reduce__(self):
        return print, ("run",)


def test_every_broken_file_is_named_and_the_rest_goes_on(recording, tmp_path):
    folder = recording.folder
    recording.skeleton()
    recording.motion(120, None, "good.amc")
    recording.motion(120, None, "cut.amc")
    text = (folder / "cut.amc").read_text()
    (folder / "cut.amc").write_text(text[: len(text) // 2])
    write_bvh(folder / "whole.bvh")
    bvh = (folder / "whole.bvh").read_text()
    (folder / "nan.bvh").write_text(bvh.replace(bvh.splitlines()[-1].split()[3], "nan"))
    (folder / "joint.bvh").write_text(bvh.replace("left_knee", "left_kn"))
    (folder / "slow.bvh").write_text(bvh)
    poses = {
        "smpl_poses": rotvecs(24).reshape(-1, 72),
        "smpl_trans": path_m(),
        "smpl_scaling": np.ones(1),
        "smpl_loss": Command(),
    }
    write_pickle(folder / "evil.pkl", poses, 4)
    write_bomb(folder / "bomb.npz", "poses")
    write_tree(folder)
    narrow = write_rows(folder, g1_rows(30))
    opener = gzip.open if narrow.suffix == ".gz" else open
    with opener(narrow, "rt") as stream:
        lines = stream.read().splitlines()
    lines[4] = lines[4].rsplit(",", 3)[0]
    with opener(narrow, "wt") as stream:
        stream.write("\n".join(lines) + "\n")
    tree = next(path.name for path in folder.glob("*.json"))
    write_table(
        folder,
        line("good", "good.amc", "amc+asf", skeleton="1.asf"),
        line("cut", "cut.amc", "amc+asf", skeleton="1.asf"),
        line("nan", "nan.bvh", "bvh", fps=24, frames=48),
        line("joint", "joint.bvh", "bvh", fps=24, frames=48),
        line("slow", "slow.bvh", "bvh", fps=12, frames=48),
        line("never", "slow.bvh", "bvh", fps=0, frames=48),
        line("evil", "evil.pkl", "aist++", frames=7),
        line("bomb", "bomb.npz", "smplx", fps=30, frames=7),
        line("narrow", narrow.name, "g1csv", skeleton=tree, frames=30),
        line("gone", "gone.npy", "finedance", fps=30, frames=7),
        line("odd", "good.amc", "fbx", frames=7),
    )
    prepared = prepare(ANYTHING, folder, tmp_path / "store", workers=2)
    assert [entry.clip_id for entry in prepared.entries] == ["good"]
    reasons = {item.clip_id: item.reason for item in prepared.left_out}
    assert reasons.keys() == {"cut", "nan", "joint", "slow", "never", "evil", "bomb", "narrow", "gone", "odd"}
    for name, words in {
        "cut": "cut.amc:",
        "nan": "nan.bvh:",
        "joint": "left_kn",
        "slow": "12.0 frames a second is below 20",
        "never": "clips.csv:7: true_fps '0' is outside",
        "evil": "builtins.print",
        "bomb": "bomb.npz",
        "narrow": f"{narrow.name}:5",
        "gone": "gone.npy",
        "odd": "format 'fbx'",
    }.items():
        assert words in reasons[name], name
    assert dict(gather(tmp_path / "store", None).left_out) == reasons, "the report tells the same"


def test_a_run_that_is_stopped_repeats_nothing(tmp_path, monkeypatch):
    for name in "abc":
        write_bvh(tmp_path / f"{name}.bvh", 48 + ord(name) % 3)
    write_table(tmp_path, *(line(n, f"{n}.bvh", "bvh", fps=24, frames=48 + ord(n) % 3) for n in "abc"))
    made = []
    make = module.prepare_clip

    def stopped(data_dir, out_dir, row, *more):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(row.clip_id)
        return make(data_dir, out_dir, row, *more)

    monkeypatch.setattr(module, "prepare_clip", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    with (tmp_path / "store" / JOURNAL_NAME).open("a") as stream:
        stream.write('{"clip_id": "torn')
    monkeypatch.setattr(module, "prepare_clip", make)
    prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert (len(prepared.entries), prepared.read) == (3, 1)
    assert not (tmp_path / "store" / JOURNAL_NAME).exists()
    assert [entry.clip_id for entry in read_index(tmp_path / "store")] == list("abc")


def test_hands_and_face_that_nobody_captured_are_made_and_flagged(recording, tmp_path):
    recording.skeleton()
    recording.motion(
        1200, lambda n: {"lhumerus": f"0 {40 * np.sin(n / 9)} 0", "root": f"{9 * np.sin(n / 9)} 40 0 0 0 0"}, "a.amc"
    )
    write_bvh(recording.folder / "b.bvh")
    write_table(
        recording.folder,
        line("a", "a.amc", "amc+asf", skeleton="1.asf", frames=1200),
        line("b", "b.bvh", "bvh", fps=24, frames=48),
    )
    prepare(ANYTHING, recording.folder, tmp_path / "store", workers=1)
    body, fingers = load_store(tmp_path / "store")
    assert (body.entry.hands, body.entry.face, fingers.entry.hands) == ("rule", "rule", "captured")
    assert body.synthetic.all()
    assert not fingers.synthetic[:, 0].any()
    assert np.linalg.norm(np.diff(body.finger_wxyz, axis=0), axis=-1).max() > 0.01, "the fingers move"
    blinks = body.face[:, ARKIT_INDEX["eyeBlinkLeft"]]
    assert np.flatnonzero((blinks[1:] > 0.5) & (blinks[:-1] <= 0.5)).size >= 2, "20 s hold some blinks"
    again = tmp_path / "again"
    prepare(ANYTHING, recording.folder, again, workers=1)
    np.testing.assert_array_equal(load_store(again)[0].face, body.face)


def test_a_recorded_face_is_used_for_as_long_as_it_lasts(tmp_path):
    write_bvh(tmp_path / "b.bvh", 96)
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    smile = ["0.5" if "mouthSmile" in name else "0" for name in ARKIT_NAMES]
    rows = [f"00:00:{n // 60:02}:{n % 60:02}.000,52," + ",".join(smile) for n in range(150)]
    (tmp_path / "face.csv").write_text("\n".join(["Timecode,BlendshapeCount," + ",".join(names), *rows, ""]))
    write_table(tmp_path, line("b", "b.bvh", "bvh", fps=24, frames=96, face="face.csv"))
    prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert prepared.left_out == ()
    (clip,) = load_store(tmp_path / "store")
    assert clip.entry.face == "captured"
    assert (~clip.synthetic[:, 1]).sum() == 75, "150 frames of 60 a second"
    np.testing.assert_allclose(clip.face[:70, ARKIT_INDEX["mouthSmileLeft"]], 0.5, atol=1e-3)
    assert clip.synthetic[75:, 1].all()


def write_flame(path):
    arrays = {
        "poses": np.zeros((60, 165)),
        "trans": np.tile([0.0, 0.9, 0.0], (60, 1)),
        "expressions": np.ones((60, 100)),
        "mocap_frame_rate": np.array(30),
    }
    np.savez(path, **arrays)


def test_a_face_of_another_space_is_left_out_and_the_body_stays_with_a_note(tmp_path):
    for name in "ab":
        write_flame(tmp_path / f"{name}.npz")
    write_table(tmp_path, *(line(name, f"{name}.npz", "smplx", fps=30, frames=60) for name in "ab"))
    for run in ("first", "again"):
        prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
        assert prepared.left_out == (), run
        assert [(entry.face, entry.unused_face) for entry in prepared.entries] == [("rule", "flame103")] * 2
        (note,) = prepared.notes
        assert "2 clips have captured faces of space 'flame103', which do not fit face space 'arkit52'" in note
        assert 'face_space = "flame100"' in note
    assert load_store(tmp_path / "store")[0].synthetic[:, 1].all()
    flame = ANYTHING.model_copy(update={"face_space": "flame100"})
    prepared = prepare(flame, tmp_path, tmp_path / "store", workers=1)
    assert prepared.notes == ()
    assert {(entry.face, entry.face_space) for entry in prepared.entries} == {("captured", "flame100")}
    np.testing.assert_allclose(load_store(tmp_path / "store")[0].face, 1.0)


@pytest.mark.parametrize("text", [None, "Timecode,\n"])
def test_a_face_that_the_table_names_must_be_readable(tmp_path, text):
    write_flame(tmp_path / "a.npz")
    if text is not None:
        (tmp_path / "face.csv").write_text(text)
    write_table(tmp_path, line("a", "a.npz", "smplx", fps=30, frames=60, face="face.csv"))
    (left_out,) = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1).left_out
    assert "face.csv" in left_out.reason


def test_the_same_recording_is_known_however_it_is_called_packed_and_prepared(tmp_path):
    write_bvh(tmp_path / "a.bvh", 48)
    (tmp_path / "b.bvh.gz").write_bytes(gzip.compress((tmp_path / "a.bvh").read_bytes()))
    for song in ("x", "y"):
        (tmp_path / f"{song}.wav").write_bytes(b"the same song")
    write_table(
        tmp_path,
        line("a", "a.bvh", "bvh", fps=24, frames=48, music="x.wav", pairing="real", partner="c"),
        line("b", "b.bvh.gz", "bvh", fps=48, frames=48, music="y.wav", pairing="real"),
        line("c", "a.bvh", "bvh", fps=24, frames=48, dancer=2),
    )
    one, other, partner = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1).entries
    assert one.input_hash != other.input_hash
    assert one.recording == other.recording != partner.recording
    assert one.song == other.song != ""
    assert (one.take, other.take, partner.take) == ("a", "", "a")
    with pytest.raises(ConfigError, match=r"b \(recording\), b \(song\)"):
        check_apart(learned_from([one]), [other], "the judge")


def test_a_store_without_these_marks_gets_them_without_any_clip_being_read_again(tmp_path):
    write_bvh(tmp_path / "a.bvh")
    write_table(tmp_path, line("a", "a.bvh", "bvh", fps=24, frames=48))
    (entry,) = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1).entries
    write_index(tmp_path / "store", [replace(entry, recording="", take="", song="", size=0)])
    prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert prepared.read == 0
    assert prepared.entries[0].recording == entry.recording != ""


def test_a_file_that_is_cut_off_is_made_again(tmp_path):
    write_bvh(tmp_path / "a.bvh")
    write_table(tmp_path, line("a", "a.bvh", "bvh", fps=24, frames=48))
    (entry,) = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1).entries
    path = tmp_path / "store" / "a.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1).read == 1
    assert path.stat().st_size == entry.size


def test_what_is_not_good_enough_is_read_once_and_what_is_gone_leaves_no_file(tmp_path):
    for name in "ab":
        write_bvh(tmp_path / f"{name}.bvh", 48 + ord(name) - 97)
    lines = [line(name, f"{name}.bvh", "bvh", fps=24, frames=48 + ord(name) - 97) for name in "ab"]
    write_table(tmp_path, *lines)
    store = tmp_path / "store"
    strict = DataRecipe(quality=ANYTHING.quality.model_copy(update={"jitter_mps3": 1e-9}))
    assert [prepare(strict, tmp_path, store, workers=1).read for _ in range(2)] == [2, 0]
    assert len(prepare(strict, tmp_path, store, workers=1).left_out) == 2
    assert prepare(ANYTHING, tmp_path, store, workers=1).read == 0, "other limits judge what is there"
    (store / "mine.npz").write_bytes(b"not of this store")
    write_table(tmp_path, lines[0])
    prepare(ANYTHING, tmp_path, store, workers=1)
    assert sorted(path.name for path in store.glob("*.npz")) == ["a.npz", "mine.npz"]


@pytest.mark.parametrize("fill", ["rest", "constant"])
def test_hands_that_only_fill_the_columns_are_made_by_rule(tmp_path, fill):
    rows = np.zeros((60, 322))
    rows[:, 310] = 0.9
    rows[:, 66:156] = 0.0 if fill == "rest" else 0.2
    np.save(tmp_path / "still.npy", rows)
    rows[:, 66:156] = 0.2 * np.sin(np.arange(60) / 9)[:, None]
    np.save(tmp_path / "moving.npy", rows)
    names = ("still", "moving")
    write_table(tmp_path, *(line(name, f"{name}.npy", "motionx322", fps=30, frames=60) for name in names))
    prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    still, moving = load_store(tmp_path / "store")
    assert (still.entry.hands, moving.entry.hands) == ("rule", "captured")
    assert still.synthetic[:, 0].all()
    assert not still.captured[22:].any()


@pytest.mark.parametrize("value", ["1e300", "1e160", "1e20"])
def test_numbers_and_skeletons_that_nobody_has_cost_one_clip_only(tmp_path, value):
    for name in ("far", "arm", "good"):
        write_bvh(tmp_path / f"{name}.bvh")
    lines = (tmp_path / "good.bvh").read_text().splitlines()
    far = [*lines[:-1], " ".join([value, *lines[-1].split()[1:]])]
    (tmp_path / "far.bvh").write_text("\n".join(far) + "\n")
    for side in ("left", "right"):
        for joint in ("elbow", "wrist"):
            place = next(n for n, words in enumerate(map(str.split, lines)) if words == ["JOINT", f"{side}_{joint}"])
            lines[place + 2] = "OFFSET 0 0 0"
    (tmp_path / "arm.bvh").write_text("\n".join(lines) + "\n")
    write_table(tmp_path, *(line(name, f"{name}.bvh", "bvh", fps=24, frames=48) for name in ("far", "arm", "good")))
    prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert [entry.clip_id for entry in prepared.entries] == ["good"]
    reasons = {item.clip_id: item.reason for item in prepared.left_out}
    assert f"far.bvh:{len(far)}: '{value}' is beyond 1000000" in reasons["far"]
    assert "'left_shoulder' to 'left_elbow'" in reasons["arm"]


def test_dancers_of_one_file_are_clips_of_their_own(tmp_path):
    rows = np.zeros((2, 60, 322))
    rows[..., 310] = 0.9
    rows[1, :, 309] = 1.5
    np.save(tmp_path / "duo.npy", rows)
    two = [
        line(f"duo.{n}", "duo.npy", "motionx322", fps=30, frames=60, dancer=n, partner=f"duo.{3 - n}") for n in (1, 2)
    ]
    write_table(tmp_path, *two, line("duo.3", "duo.npy", "motionx322", fps=30, frames=60, dancer=3))
    prepared = prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert [entry.partner_id for entry in prepared.entries] == ["duo.2", "duo.1"]
    first, second = load_store(tmp_path / "store")
    assert second.root_m[0, 0] - first.root_m[0, 0] == pytest.approx(1.5, abs=0.2)
    assert "holds 2 dancers, the table asks for number 3" in prepared.left_out[0].reason


def test_the_index_does_not_grow_with_every_clip(tmp_path, monkeypatch):
    """Writing the whole index after each clip would make a large set quadratic."""
    written = []
    write = module.write_index
    monkeypatch.setattr(
        module, "write_index", lambda folder, entries: (written.append(len(entries)), write(folder, entries))
    )
    for name in "abcde":
        write_bvh(tmp_path / f"{name}.bvh", 48 + ord(name) - 97)
    write_table(tmp_path, *(line(n, f"{n}.bvh", "bvh", fps=24, frames=48 + ord(n) - 97) for n in "abcde"))
    prepare(ANYTHING, tmp_path, tmp_path / "store", workers=1)
    assert written == [5]
    assert json.loads((tmp_path / "store" / "index.json").read_text())["format"] == 3
