"""The retrieval model: published sizes, padding, folding."""

from __future__ import annotations

import pytest
import torch

from soulstream_training.models.mmr import Mmr, MmrConfig, positions


def _size(part: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


@pytest.mark.parametrize("motion_dim", [263, 723])
def test_the_published_model_has_the_published_sizes(motion_dim: int) -> None:
    width, hidden, layers = 256, 1024, 6
    attention = 4 * width * (width + 1)
    feed = (width + 1) * hidden + (hidden + 1) * width
    layer = attention + feed + 2 * 2 * width
    model = Mmr(MmrConfig(motion_dim=motion_dim))
    assert _size(model.motion) == (motion_dim + 1) * width + 2 * width + layers * layer
    assert _size(model.music) == (4800 + 1) * width + 2 * width + layers * layer
    decoder_layer = layer + attention + 2 * width
    assert _size(model.decoder) == layers * decoder_layer + (width + 1) * motion_dim


def test_frames_that_are_not_there_change_nothing() -> None:
    torch.manual_seed(0)
    model = Mmr(MmrConfig(6, 5, width=16, layers=2, heads=2, hidden=16, fold=5)).eval()
    motion = torch.randn(2, 30, 6)
    valid = torch.arange(30) < torch.tensor([[20], [30]])
    spoiled = torch.where(valid[..., None], motion, 9.0)
    short = model.motion(motion[:1, :20])
    padded = model.motion(spoiled, valid)
    torch.testing.assert_close(padded.mu[0], short.mu[0])
    torch.testing.assert_close(padded.mu[1], model.motion(motion).mu[1])


def test_any_length_that_folds_is_read_and_made() -> None:
    model = Mmr(MmrConfig(6, 5, width=16, layers=1, heads=2, hidden=16, fold=5)).eval()
    for frames in (30, 150):
        motion, music = model(torch.randn(3, frames, 6), torch.randn(3, frames, 5))
        assert motion.shape == music.shape == (3, 16)
        assert model.decoder(motion, frames).shape == (3, frames, 6)


def test_positions_tell_every_frame_apart() -> None:
    table = positions(152, 32)
    assert table.shape == (152, 32)
    assert float(torch.pdist(table).min()) > 0.1


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="30 is not a multiple"):
        MmrConfig(6, 5, width=30, heads=4)
    with pytest.raises(ValueError, match="fold is 0"):
        MmrConfig(6, 5, fold=0)
