"""The retrieval table and its checks, of a model that knows the phase of the beat and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_training.data.music_index import MusicEntry
from soulstream_training.evaluation.mmr_latents import PairWindow, cut_windows
from soulstream_training.evaluation.retrieval_checks import class_a_drop, ms_scores, sensitivity
from soulstream_training.evaluation.retrieval_table import one_a_song, retrieval_rows
from soulstream_training.models.mmr import Latent, Mmr
from soulstream_training.recipes.mmr_pairs import Pair

FRAMES = 700
FIRST = 100
PHASE = slice(*COLUMNS["beat"].indices(NUM_FEATURES)[:2])


def _oracle() -> Mmr:
    """Latents are the phase of the beat, thrice in a window: motion rows say it in their first two columns."""

    def encoder(columns: slice) -> object:
        def encode(rows: torch.Tensor) -> Latent:
            last = rows.shape[1] - 1
            mu = torch.cat([rows[:, at, columns] for at in (0, last // 2, last)], dim=1)
            return Latent(mu, torch.zeros_like(mu))

        return encode

    return cast(Mmr, SimpleNamespace(motion=encoder(slice(0, 2)), music=encoder(PHASE)))


def _pair(name: str, bpm: float, kind: str = "A", style: str = "rock", offset_s: float = 0.0) -> Pair:
    beats_s = np.arange(-2.0, FRAMES / 30 + 2.0, 60.0 / bpm) + offset_s
    music = np.zeros((FRAMES, NUM_FEATURES), np.float32)
    music[:, PHASE] = _phase(beats_s)
    rows = np.zeros((FRAMES - FIRST, 263), np.float32)
    rows[:, :2] = music[FIRST:, PHASE]
    entry = MusicEntry(
        name, "", name, "test", kind, 0, is_paired=True, num_frames=FRAMES, bpm=bpm, music_style=style
    )  # fmt: skip
    return Pair(entry, "salsa", name, name, rows, music, FIRST, beats_s, np.ones(263, np.float32))


def _phase(beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = 2 * np.pi * np.interp(np.arange(FRAMES) / 30, beats_s, np.arange(len(beats_s)))
    return np.stack([np.sin(turn), np.cos(turn)], axis=-1)


def test_true_pairs_are_found_and_classes_are_apart() -> None:
    pairs = [_pair(f"a{n}", 90.0 + 7 * n, offset_s=0.03 * n) for n in range(6)] + [_pair("b0", 100, "B")]
    rows = retrieval_rows(_oracle(), pairs)
    assert {(row["class"], row["direction"], row["protocol"]) for row in rows} == {
        (kind, direction, protocol)
        for kind in "AB"
        for direction in ("m2d", "d2m")
        for protocol in ("full", "batch32", "dissimilar100")
    }
    first = next(row for row in rows if row["class"] == "A" and row["protocol"] == "full")
    assert (first["gallery"], first["songs"], first["r1"], first["medr"]) == (24, 6, 100.0, 1.0)
    assert first["chance_r1"] == pytest.approx(100 / 24, abs=0.01)
    assert first["p"] < 0.05


def test_one_window_stands_for_a_song() -> None:
    windows = cut_windows([_pair("a", 90), _pair("b", 100)])
    chosen = one_a_song(windows, 0)
    assert len(windows) == 8
    assert sorted(windows[number].pair.song for number in chosen) == ["a", "b"]


def test_each_check_changes_one_thing() -> None:
    pairs = [_pair("a", 90), _pair("b", 120, offset_s=0.1), _pair("c", 90, style="salsa", offset_s=0.2)]
    windows = cut_windows(pairs)
    found = {row["check"]: row for row in sensitivity(_oracle(), windows)}
    for beats in ("-0.5", "+0.5"):
        assert found[f"shifted by {beats} beats"]["drop"] == 1.0
    assert found["shifted by +1 beats"]["changed"] > 0.99, "a whole beat later is the same to one who knows no bars"
    assert found["other genre, same tempo"]["windows"] == 8, "there is no other music of 120 a minute"
    assert found["other genre, same tempo"]["changed"] > 0.95, "this model hears no genre: the beats are aligned"
    assert found["same genre and tempo"] == {"check": "same genre and tempo", "windows": 0}
    assert found["other tempo"]["windows"] == 12
    assert found["other tempo"]["drop"] == 1.0
    assert class_a_drop(_oracle(), windows) == 1.0
    scores = ms_scores(_oracle(), windows)
    assert scores["true"] == 0.0
    assert scores["half_beat"] > scores["other"] > 0.0


def test_music_that_never_meets_the_beat_is_left_out() -> None:
    late = _pair("late", 90, style="salsa")
    short = Pair(
        late.entry, "salsa", "late", "late", late.rows[:150], late.music[:250], FIRST, late.beats_s[:2], late.worth
    )
    found = {row["check"]: row for row in sensitivity(_oracle(), [PairWindow(_pair("a", 90), 0), PairWindow(short, 0)])}
    assert found["other tempo"] == {"check": "other tempo", "windows": 0}
