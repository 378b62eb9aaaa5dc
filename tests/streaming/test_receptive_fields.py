"""What an output can see, measured: receptive fields of the paper's stack, offline and causal (``method.md`` 12)."""

from __future__ import annotations

import pytest
import torch

from soulstream_training.models.hrvq import LOOK_AHEAD, HrvqConfig, make_decoder, make_encoder, toy_config

FEATURES = 3


def paper_shape(**changes: bool | str) -> HrvqConfig:
    """The paper's kernels, strides and dilations, two channels wide."""
    settings = {"part_dims": (FEATURES,), "width": 2, "code_dim": 2, "dilations": (9, 3, 1)}
    return toy_config(**settings, **({"stack": "conv", "smoother": "none"} | changes))


def positive(layer: torch.nn.Module) -> torch.nn.Module:
    """All weights positive: no rectifier hides an input, and no two paths cancel."""
    for parameter in layer.double().parameters():
        torch.nn.init.constant_(parameter, 0.1)
    return layer


def seen(outputs: torch.Tensor, inputs: torch.Tensor, axis: int) -> tuple[int, int]:
    """First and last step of ``inputs`` that ``outputs`` hang on."""
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    steps = gradient.abs().sum(dim=tuple(i for i in range(3) if i != axis)).nonzero()[:, 0]
    return int(steps[0]), int(steps[-1])


def tokens_of_frame(config: HrvqConfig, token: int, place: int) -> tuple[int, int]:
    """Tokens, relative to ``token``, that decide frame ``4 * token + place``."""
    latents = torch.ones(1, 2, token + 40, dtype=torch.double, requires_grad=True)
    motion, _ = positive(make_decoder(config))(latents)
    first, last = seen(motion[:, 4 * token + place + LOOK_AHEAD], latents, 2)
    return first - token, last - token


def frames_of_token(config: HrvqConfig, token: int) -> tuple[int, int]:
    """Frames, relative to ``4 * token``, that decide a token."""
    motion = torch.ones(1, 4 * (token + 40), FEATURES, dtype=torch.double, requires_grad=True)
    latents, _ = positive(make_encoder(FEATURES, config))(motion)
    first, last = seen(latents[:, :, token], motion, 1)
    return first - 4 * token, last - 4 * token


@pytest.mark.parametrize(("place", "expected"), [(0, (-22, 21)), (1, (-22, 22)), (2, (-22, 22)), (3, (-21, 22))])
def test_offline_decoder_sees_22_tokens_to_either_side(place: int, expected: tuple[int, int]) -> None:
    assert tokens_of_frame(paper_shape(causal=False), 40, place) == expected


@pytest.mark.parametrize(("place", "expected"), [(0, (-44, 0)), (1, (-44, 0)), (2, (-43, 0)), (3, (-43, 0))])
def test_causal_decoder_sees_44_tokens_back_and_none_ahead(place: int, expected: tuple[int, int]) -> None:
    assert tokens_of_frame(paper_shape(), 60, place) == expected


def test_offline_encoder_sees_176_frames() -> None:
    assert frames_of_token(paper_shape(causal=False), 40) == (-86, 89)


def test_causal_encoder_sees_no_frame_after_its_own_four() -> None:
    assert frames_of_token(paper_shape(), 60) == (-172, 3)


def test_folded_encoder_is_causal_or_centred() -> None:
    assert frames_of_token(paper_shape(stack="folded"), 40) == (-4 * 26, 3)
    assert frames_of_token(paper_shape(stack="folded", causal=False), 40) == (-4 * 13, 4 * 13 + 3)


@pytest.mark.parametrize("smoother", ["binomial", "learned"])
def test_every_smoother_sees_as_far_ahead(smoother: str) -> None:
    """Frames 2 and 3 of a token see the next one, frames 0 and 1 do not."""
    config = paper_shape(smoother=smoother)
    assert [tokens_of_frame(config, 60, place)[1] for place in range(4)] == [0, 0, 1, 1]
