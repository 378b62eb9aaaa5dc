"""Which dances go with music: what is compared, how it is ranked, and the picture of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes.motion_store import FRAMES, write_motion
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_training.data.store import ClipEntry, load_clip, read_index, save_clip
from soulstream_training.evaluation.mmr_latents import WINDOW_FRAMES
from soulstream_training.evaluation.retrieve import (
    Dance,
    Query,
    best_window,
    both_ends,
    danced_windows,
    find_dances,
    hear,
    motion_columns,
    ranked,
)
from soulstream_training.evaluation.retrieve_picture import NUM_POSES, beat_times, retrieval_picture
from soulstream_training.evaluation.tokenizer_charts import png_bytes
from soulstream_training.models.mmr import Mmr, MmrConfig
from soulstream_training.recipes.mmr_recipe import SIZES

NOISE = np.random.default_rng(0).normal(size=(8 * SAMPLE_RATE,)).astype(np.float32)
ASKED = Query(np.zeros((WINDOW_FRAMES, NUM_FEATURES), np.float32), 0.0)


@pytest.fixture
def store(tmp_path):
    write_motion(tmp_path / "motion")
    return tmp_path / "motion"


def toy(motion_dim: int = 263) -> Mmr:
    torch.manual_seed(0)
    return Mmr(MmrConfig(motion_dim=motion_dim, music_dim=NUM_FEATURES, **SIZES["toy"])).eval().requires_grad_(False)


def dance(score: float, clip_id: str = "x", rows: np.ndarray = ASKED.rows, rank: int = 0) -> Dance:
    entry = ClipEntry(clip_id, "", "train", "C", "salsa", None, "", "", FRAMES, FRAMES)
    return Dance(entry, 45, score, rows, rank)


def clock(bpm: float, first_turns: float, confidence: float = 1.0) -> np.ndarray:
    rows = np.zeros((WINDOW_FRAMES, NUM_FEATURES), np.float32)
    phase = first_turns + np.arange(WINDOW_FRAMES) / 30 * bpm / 60
    write_clock(rows, phase, np.full(WINDOW_FRAMES, bpm), np.full(WINDOW_FRAMES, confidence))
    return rows


def test_the_middle_of_a_piece_asks_and_all_before_it_was_heard():
    query = hear(NOISE)
    assert query.start_s == 1.5
    np.testing.assert_array_equal(query.rows, extract(NOISE)[45 : 45 + WINDOW_FRAMES])


@pytest.mark.parametrize(("at_s", "start_s"), [(0.0, 0.0), (1.02, 31 / 30), (3.0, 3.0)])
def test_other_seconds_may_ask(at_s, start_s):
    query = hear(NOISE, at_s)
    assert query.start_s == pytest.approx(start_s)
    assert query.rows.shape == (WINDOW_FRAMES, NUM_FEATURES)


def test_a_piece_of_less_than_five_seconds_is_refused():
    with pytest.raises(ConfigError, match=r"lasts 4\.99 s, 5 s of music") as caught:
        hear(NOISE[: round(4.99 * SAMPLE_RATE)])
    assert caught.value.code == "MUSIC_TOO_SHORT"
    assert "longer" in caught.value.hint


@pytest.mark.parametrize("at_s", [3.01, -0.5, float("nan"), float("inf")])
def test_seconds_that_are_not_in_the_piece_are_refused(at_s):
    with pytest.raises(ConfigError, match=rf"5 s from {at_s:.2f} s on .* lasts 8\.00 s") as caught:
        hear(NOISE, at_s)
    assert caught.value.code == "MUSIC_ENDS_BEFORE"
    assert "from 0 to 3.00 s with --at" in caught.value.hint


def test_the_dance_whose_latent_is_that_of_the_music_comes_first(store):
    model, entries = toy(), read_index(store)
    other = load_clip(store, entries[2])
    other.root_m[:, 2] += 0.3 * (np.arange(FRAMES) / 30) ** 2  # faster and faster: no window is like another
    save_clip(store, "clip_2", root_m=other.root_m, joint_wxyz=other.joint_wxyz, segments=other.segments)
    wanted = dict(danced_windows(load_clip(store, entries[2]), "body"))[60]
    latent = model.motion(torch.from_numpy(wanted)[None])
    told = []
    fake = SimpleNamespace(motion=model.motion, music=lambda _: latent, config=model.config)
    found = find_dances(fake, ASKED, store, entries, lambda: told.append(1))
    assert len(told) == len(entries)
    assert (found[0].entry.clip_id, found[0].first_frame, found[0].start_s) == ("clip_2", 60, 2.0)
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(found[0].rows, wanted)
    assert sorted(d.entry.clip_id for d in found) == [f"clip_{n}" for n in range(4)], "a clip counts once"
    assert [d.rank for d in found] == [1, 2, 3, 4]
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_the_best_window_by_hand():
    latents = np.array([[1.0, 1.0], [0.0, 3.0], [0.0, 0.0]], np.float32)
    assert best_window(np.array([0.0, 2.0], np.float32), latents) == (1, pytest.approx(1.0))
    assert best_window(np.array([2.0, 0.0], np.float32), latents) == (0, pytest.approx(np.sqrt(0.5)))


def test_ranks_keep_the_order_of_equals():
    found = ranked([dance(0.1, "a"), dance(0.5, "b"), dance(0.1, "c"), dance(-0.2, "d")])
    assert [(d.rank, d.entry.clip_id) for d in found] == [(1, "b"), (2, "a"), (3, "c"), (4, "d")]


@pytest.mark.parametrize(
    ("best", "worst", "firsts", "lasts"),
    [(2, 1, [1, 2], [5]), (2, 9, [1, 2], [3, 4, 5]), (9, 2, [1, 2, 3, 4, 5], []), (1, 0, [1], [])],
)
def test_nobody_is_among_best_and_worst(best, worst, firsts, lasts):
    ends = both_ends(ranked([dance(-0.1 * number) for number in range(5)]), best, worst)
    assert [[d.rank for d in end] for end in ends] == [firsts, lasts]


def test_windows_are_of_clean_dance_a_second_apart(store):
    clip = load_clip(store, read_index(store)[0])
    windows = danced_windows(clip, "body")
    assert [first for first, _ in windows] == [0, 30, 60, 90]
    assert {rows.shape for _, rows in windows} == {(WINDOW_FRAMES, 263)}
    cut = replace(clip, segments=np.array([[0, 100], [105, FRAMES]], np.int32))
    assert [first for first, _ in danced_windows(cut, "body")] == [105]
    assert danced_windows(replace(clip, segments=np.array([[0, 150]], np.int32)), "body") == []
    still = replace(clip, root_m=clip.root_m.copy(), joint_wxyz=clip.joint_wxyz.copy())
    still.root_m[:80], still.joint_wxyz[:80] = still.root_m[80], still.joint_wxyz[80]
    firsts = [first for first, _ in danced_windows(still, "body")]
    assert 60 <= firsts[0] <= 80, "who waits does not dance"


def test_a_store_without_five_seconds_of_dance_is_refused(store):
    with pytest.raises(ConfigError, match=r"None of 0 clips .* 5 s of clean dance") as caught:
        find_dances(toy(), ASKED, store, [])
    assert "--splits" in caught.value.hint


@pytest.mark.parametrize(("dim", "columns"), [(263, "body"), (623, "none"), (675, "arkit52"), (723, "flame100")])
def test_columns_by_their_number(dim, columns):
    assert motion_columns(dim) == columns


def test_other_numbers_of_columns_are_refused():
    with pytest.raises(ValueError, match=r"have 264 columns, but \[263, 623, 675, 723\]"):
        motion_columns(264)


def test_beats_lie_where_the_phase_is_whole():
    np.testing.assert_allclose(beat_times(clock(120.0, 0.25)), 0.375 + 0.5 * np.arange(10), atol=1e-4)
    assert len(beat_times(clock(120.0, 0.25, confidence=0.0))) == 0
    assert len(beat_times(clock(120.0, 0.25, confidence=0.05))) == 0


def test_a_clock_that_is_set_back_does_not_beat_twice():
    rows = clock(60.0, 0.5)
    rows[18:] = clock(60.0, 0.5 - 5 / 30)[18:]  # a beat at row 15, and again at row 20 by the clock set back
    np.testing.assert_allclose(beat_times(rows), [0.5, *(1.0 + 2 / 3 + np.arange(4))], atol=1e-3)


@pytest.mark.parametrize("columns", ["body", "arkit52"])
def test_the_picture_shows_music_and_dances(store, columns):
    (_, rows), *_ = danced_windows(load_clip(store, read_index(store)[0]), columns)
    first, last = dance(0.714, "one", rows, rank=1), dance(-0.2, "two", rows, rank=12)
    figure = retrieval_picture("song.wav", Query(clock(120.0, 0.25), 61.5), [first], [last], 12)
    words = {text.get_text() for text in figure.findobj(Text)}
    assert {"song.wav", "61.5 s", "66.5 s", "The best of 12 clips", "The worst", "1  salsa", "12  salsa"} <= words
    assert {"score 0.71\none\nfrom 1.5 s", "score -0.20\ntwo\nfrom 1.5 s"} <= words
    lines = [len(lines.get_segments()) for lines in figure.findobj(LineCollection)]
    assert lines.count(10) == 1, "ten beats"
    assert len(lines) == 1 + 2 + 2 * NUM_POSES, "beats, two headings, poses"
    assert len(png_bytes(figure)) < 100_000  # measured 44 kB both


def test_there_may_be_nobody_worse(store):
    (_, rows), *_ = danced_windows(load_clip(store, read_index(store)[0]), "body")
    figure = retrieval_picture("song.wav", ASKED, [dance(0.5, "one", rows, rank=1)], [], 1)
    words = {text.get_text() for text in figure.findobj(Text)}
    assert "The best of 1 clip" in words
    assert "The worst" not in words
