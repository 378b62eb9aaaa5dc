"""A folder of each data set to a table to the store: nothing is refused on the way, and nothing leaks."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import pytest
from fakes.dance_folders import (
    cut,
    write_aist,
    write_bvh,
    write_columns,
    write_finedance,
    write_joints,
    write_music,
    write_phantom,
)

from soulstream_training.data.clip_names import parse_name
from soulstream_training.data.clip_table import build_table, write_table
from soulstream_training.data.clips import read_clips
from soulstream_training.data.prepare import prepare
from soulstream_training.data.recipe import DataRecipe, Quality
from soulstream_training.data.splits import find_split_leaks
from soulstream_training.data.summary import find_leaks

ANYTHING = Quality(foot_slide_mps=1e9, jitter_mps3=1e9, limit_share=1.0, floor_penetration_m=1e9)


def aist(folder):
    for seed in range(10):
        genre, song, choreography = "BH"[seed % 2] + "RO"[seed % 2], seed // 4, seed // 2
        write_aist(folder / "motions" / f"g{genre}_sBM_cAll_d0{seed % 3}_m{genre}{song}_ch0{choreography}.pkl", seed)
    cut(write_aist(folder / "motions" / "gBR_sBM_cAll_d04_mBR0_ch09.pkl", 20))
    write_music(folder / "music", ["mBR0", "mBR1", "mHO0", "mHO1"])
    return {"rows": 10, "real": 8, "left_out": ["motions/gBR_sBM_cAll_d04_mBR0_ch09.pkl"]}


def finedance(folder):
    for seed in range(1, 11):
        write_finedance(folder / "motion" / f"{seed:03d}.npy", seed)
    write_finedance(folder / "motion" / "M003.npy", 20)
    cut(write_finedance(folder / "motion" / "011.npy", 11))
    (folder / "label_json").mkdir()
    for seed in range(1, 11):
        label = {"name": f"song {seed}", "style1": "Modern", "style2": ("Jazz", "Popping")[seed % 2]}
        (folder / "label_json" / f"{seed:03d}.json").write_text(json.dumps(label))
    write_music(folder / "music_wav", [f"{seed:03d}" for seed in range(1, 10)])
    return {"rows": 11, "real": 10, "left_out": ["motion/011.npy"]}


def souldance(folder):
    for seed, take in enumerate(["a", "b", "c", "d"]):
        for number in range(3):
            write_columns(
                folder / "motion" / ("jazz", "soul")[seed % 2] / f"{take}_{number:04d}.npy", 3 * seed + number
            )
    write_columns(folder / "motion" / "soul" / "duo_0000.npy", 30, 31)
    cut(write_columns(folder / "motion" / "soul" / "e_0000.npy", 32))
    write_music(folder / "music", ["a_0000", "a_0001", "duo_0000", "b"])
    return {"rows": 14, "real": 4, "left_out": ["motion/soul/e_0000.npy"]}


def phantomdance(folder):
    for seed in range(10):
        write_phantom(folder / "motion" / f"dance{seed}.json", seed)
    cut(write_phantom(folder / "motion" / "dance10.json", 10))
    write_music(folder / "music", [f"dance{seed}" for seed in range(10)], ".flac")
    return {"rows": 10, "real": 10, "left_out": ["motion/dance10.json"]}


def plain_joints(folder):
    for seed in range(9):
        write_joints(folder / "motion" / ("waltz", "tango")[seed % 2] / f"take{seed}.npy", seed)
    write_joints(folder / "motion" / "tango" / "pair.npy", 20, 21)
    cut(write_joints(folder / "motion" / "tango" / "broken.npy", 22))
    write_music(folder / "music", ["take0", "pair"])
    return {"rows": 11, "real": 3, "left_out": ["motion/tango/broken.npy"]}


def bvh(folder):
    for seed in range(4):
        write_bvh(folder / "motion" / f"take{seed}.bvh", seed)
    cut(write_bvh(folder / "motion" / "broken.bvh", 5))
    write_music(folder / "music", ["take1"])
    return {"rows": 4, "real": 1, "left_out": ["motion/broken.bvh"]}


DATA_SETS = {
    "aist++": (aist, {}),
    "finedance": (finedance, {}),
    "souldance322": (souldance, {"fps": 30.0}),
    "motionx322": (souldance, {"fps": 60.0}),
    "phantomdance": (phantomdance, {}),
    "joints": (plain_joints, {"fps": 30.0}),
    "bvh": (bvh, {}),
}


@pytest.mark.parametrize("format", DATA_SETS)
def test_a_folder_becomes_a_table_and_a_store_without_leaks(tmp_path, format):
    write, options = DATA_SETS[format]
    expected = write(tmp_path)
    built = build_table(
        tmp_path / "motion" if (tmp_path / "motion").is_dir() else tmp_path / "motions",
        format,
        data_dir=tmp_path,
        music_dir=next(tmp_path.glob("music*")),
        **options,
    )
    write_table(tmp_path / "clips.csv", built.rows)
    table = read_clips(tmp_path / "clips.csv")
    assert table.refused == ()
    assert table.rows == built.rows
    assert len(table.rows) == expected["rows"]
    assert sum(row.pairing_class == "real" for row in table.rows) == expected["real"]
    assert [path.rpartition("/")[2] for path, _ in built.left_out] == [
        path.rpartition("/")[2] for path in expected["left_out"]
    ]
    assert {row.split for row in table.rows} == {"train", "val", "test"}
    splits = {row.clip_id: row.split for row in table.rows}
    assert find_split_leaks(built.items, splits) == []
    _assert_apart(table.rows, format)

    prepared = prepare(DataRecipe(quality=ANYTHING), tmp_path, tmp_path / "store", workers=1)
    assert [(item.clip_id, item.reason) for item in prepared.left_out] == []
    assert [entry.clip_id for entry in prepared.entries] == [row.clip_id for row in table.rows]
    assert find_leaks(prepared.entries) == []


def _assert_apart(rows, format):
    """Songs, takes, files, music and partners, found in the table itself and not by what made it."""
    where = defaultdict(set)
    split = {row.clip_id: row.split for row in rows}
    for row in rows:
        facts = parse_name(row.path.stem, format, is_sliced=format.endswith("322"))
        for key in (("song", facts.song), ("take", facts.take), ("file", row.path), ("music", row.music)):
            if key[1] is not None:
                where[key].add(row.split)
        if row.partner_id:
            assert split[row.partner_id] == row.split
    assert all(len(found) == 1 for found in where.values())


@pytest.mark.parametrize("kind", ["song", "take", "name", "music"])
def test_a_leak_planted_in_a_table_is_found(tmp_path, kind):
    souldance(tmp_path)
    for take in "bc":  # two takes to one song
        (tmp_path / "music" / f"{take}_0000.wav").write_bytes((tmp_path / "music" / "b.wav").read_bytes())
    built = build_table(
        tmp_path / "motion", "souldance322", data_dir=tmp_path, music_dir=tmp_path / "music", fps=30, shares=(1, 1, 1)
    )
    moved = {"song": "a_0001", "take": "a_0001", "name": "duo_0000.2", "music": "c_0000"}[kind]
    old = next(row.split for row in built.rows if row.clip_id == moved)
    other = next(split for split in ("train", "val", "test") if split != old)
    rows = [replace(row, split=other) if row.clip_id == moved else row for row in built.rows]
    write_table(tmp_path / "clips.csv", rows)
    splits = {row.clip_id: row.split for row in read_clips(tmp_path / "clips.csv").rows}
    leaks = find_split_leaks(built.items, splits)
    assert any(leak.startswith(f"{kind} ") and f"in {other}" in leak for leak in leaks)
    if kind != "music":
        with pytest.raises(AssertionError):
            _assert_apart(rows, "souldance322")
