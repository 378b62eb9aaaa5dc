"""Losses of the retrieval model against hand-computed cases."""

from __future__ import annotations

import math

import pytest
import torch

from soulstream_training.losses.mmr import false_negatives, info_nce, kl_divergence, kl_terms, reconstruction_loss
from soulstream_training.models.mmr import Latent

NOTHING = torch.zeros(2, 2, dtype=torch.bool)


def test_divergence_of_shifted_and_widened_normals() -> None:
    one = Latent(torch.zeros(1, 2), torch.zeros(1, 2))
    moved = Latent(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]]))
    assert float(kl_divergence(one, one)) == 0.0
    by_hand = (0.5 * 9.0 + 0.5 * (1 / 4 - 1 + math.log(4.0))) / 2
    assert float(kl_divergence(one, moved)) == pytest.approx(by_hand)
    assert float(kl_terms(one, moved)) == pytest.approx(
        float(2 * kl_divergence(moved, one) + kl_divergence(one, moved))
    )


def test_info_nce_by_hand_and_without_a_false_negative() -> None:
    motion = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    music = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    half = math.sqrt(0.5)
    to_music = [math.log(1 + math.exp((half - 1.0) / 0.5)), math.log(1 + math.exp((0.0 - half) / 0.5))]
    to_motion = [math.log(1 + math.exp((0.0 - 1.0) / 0.5)), math.log(1 + math.exp((half - half) / 0.5))]
    by_hand = (sum(to_music) + sum(to_motion)) / 4
    assert float(info_nce(motion, music, NOTHING, 0.5)) == pytest.approx(by_hand)
    all_out = ~torch.eye(2, dtype=torch.bool)
    assert float(info_nce(motion, music, all_out, 0.5)) == 0.0


def test_shifted_music_is_a_negative_of_every_motion() -> None:
    motion = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    off = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]]])
    plain = info_nce(motion, motion, NOTHING, 1.0)
    by_hand = [math.log(math.e + 1 + 1 + math.exp(-1)) - 1, math.log(1 + math.e + math.e + 1) - 1]
    both_ways = 0.5 * (sum(by_hand) / 2 + math.log(math.e + 1) - 1)
    assert float(info_nce(motion, motion, NOTHING, 1.0, off)) == pytest.approx(both_ways)
    assert both_ways > float(plain)


def test_which_negatives_are_none() -> None:
    song = torch.tensor([0, 0, 0, 1])
    start_s = torch.tensor([0.0, 4.9, 20.0, 0.0])
    sound = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.1]])
    assert not false_negatives("none", song, start_s, sound).any()
    same = false_negatives("same_song", song, start_s, sound)
    assert same.nonzero().tolist() == [[0, 1], [1, 0]]
    alike = false_negatives("audio_sim", song, start_s, sound)
    assert alike.nonzero().tolist() == [[0, 1], [0, 3], [1, 0], [3, 0]]


def test_columns_that_are_worth_nothing_cost_nothing() -> None:
    target = torch.zeros(1, 4, 2)
    made = torch.zeros(1, 4, 2)
    made[..., 1] = 3.0
    assert float(reconstruction_loss(made, target, torch.tensor([[1.0, 0.0]]))) == 0.0
    assert float(reconstruction_loss(made, target, torch.tensor([[1.0, 1.0]]))) == pytest.approx(2.5 / 2)
