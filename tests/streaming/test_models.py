"""Every causal layer: pieces give what the whole gives, and the past never hears the future."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from soulstream_training.models.conv import Conv1d, ResidualStack
from soulstream_training.models.hrvq import LOOK_AHEAD, Hrvq, make_decoder, make_encoder, toy_config
from soulstream_training.models.smoothers import LearnedSmoother, make_smoother

TOLERANCE = 1e-5  # measured 2e-6 at most
STACKS = ["folded", "conv"]
PIECES = [(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), (2, 2, 2, 2, 2, 2), (5, 7), (12,)]


def _stream(
    layer: torch.nn.Module, x: torch.Tensor, pieces: tuple[int, ...], axis: int, factor: int = 1
) -> torch.Tensor:
    states, outputs = None, []
    for piece in torch.split(x, [size * factor for size in pieces], dim=axis):
        out, states = layer(piece, states)
        outputs.append(out)
    return torch.cat(outputs, dim=axis)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 9), (4, 2)])
def test_convolution_in_pieces_equals_whole(kernel: int, dilation: int, pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = Conv1d(5, 7, kernel, dilation)
    x = torch.randn(2, 5, 12)
    assert torch.allclose(_stream(layer, x, pieces, 2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
def test_stack_in_pieces_equals_whole(pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = ResidualStack(6, (9, 3, 1))
    x = torch.randn(2, 6, 12)
    assert torch.allclose(_stream(layer, x, pieces, 2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (2, 2), (5, 1)])
def test_strided_convolution_in_pieces_equals_whole(kernel: int, stride: int, pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = Conv1d(5, 7, kernel, stride=stride)
    x = torch.randn(2, 5, 12 * stride)
    whole = layer(x)[0]
    assert whole.shape == (2, 7, 12)
    assert torch.allclose(_stream(layer, x, pieces, 2, stride), whole, atol=TOLERANCE)


def test_offline_layers_keep_the_rate_and_refuse_to_stream() -> None:
    layer = Conv1d(5, 7, 4, stride=2, causal=False)
    whole, state = layer(torch.randn(2, 5, 12))
    assert whole.shape == (2, 7, 6)
    with pytest.raises(ValueError, match="cannot stream"):
        layer(torch.randn(2, 5, 12), state)
    with pytest.raises(ValueError, match="cannot stream"):
        make_decoder(toy_config(causal=False)).initial_states(1)
    with pytest.raises(ValueError, match="3 steps are no multiple of the stride 2"):
        layer(torch.randn(2, 5, 3))


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("kind", ["binomial", "learned", "none"])
def test_smoother_in_pieces_equals_whole(kind: str, pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = _trained(make_smoother(kind, 5))  # type: ignore[arg-type]
    x = torch.randn(2, 48, 5)
    assert torch.allclose(_stream(layer, x, pieces, 1, 4), layer(x)[0], atol=TOLERANCE)


def _trained(layer: torch.nn.Module) -> torch.nn.Module:
    """A learned smoother starts as a plain one; move it away from there."""
    for child in layer.modules():
        if isinstance(child, LearnedSmoother):
            torch.nn.init.normal_(child.widen.weight, std=0.3)
            torch.nn.init.normal_(child.taps, std=0.3)
    return layer


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("stack", STACKS)
def test_encoder_in_pieces_equals_whole(stack: str, pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = make_encoder(11, toy_config(part_dims=(11,), stack=stack))
    x = torch.randn(2, 48, 11)
    states, outputs = None, []
    for piece in torch.split(x, [size * 4 for size in pieces], dim=1):
        out, states = layer(piece, states)
        outputs.append(out)
    assert torch.allclose(torch.cat(outputs, dim=2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("smoother", ["binomial", "learned", "none"])
@pytest.mark.parametrize("stack", STACKS)
def test_decoder_in_pieces_equals_whole(stack: str, smoother: str, pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    config = toy_config(parts=("body", "hands", "face"), part_dims=(9, 6, 4), stack=stack, smoother=smoother)
    layer = make_decoder(config)
    _trained(layer)
    latents = torch.randn(2, 3 * config.code_dim, 12)
    whole = layer(latents)[0]
    assert whole.shape == (2, 48, 19)
    for first in (None, layer.initial_states(2)):
        states, outputs = first, []
        for piece in torch.split(latents, list(pieces), dim=2):
            out, states = layer(piece, states)
            outputs.append(out)
        assert torch.allclose(torch.cat(outputs, dim=1), whole, atol=TOLERANCE)


@pytest.mark.parametrize("stack", STACKS)
def test_states_after_what_is_kept_are_those_of_that_much(stack: str) -> None:
    """A tick decodes its whole plan but goes on from the committed tokens."""
    torch.manual_seed(0)
    config = toy_config(part_dims=(9,), stack=stack)
    layer = make_decoder(config)
    latents = torch.randn(2, config.code_dim, 10)
    _, before = layer(latents[:, :, :3])
    _, kept = layer(latents[:, :, 3:], before, keep=2)
    _, expected = layer(latents[:, :, :5])
    assert len(kept) == len(expected) == len(layer.initial_states(2))
    for found, value in zip(kept, expected, strict=True):
        assert torch.allclose(found, value, atol=TOLERANCE)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("smoother", ["binomial", "learned"])
def test_decoded_frame_depends_on_no_token_after_its_look_ahead(stack: str, smoother: str) -> None:
    torch.manual_seed(0)
    config = toy_config(part_dims=(9,), stack=stack, smoother=smoother)
    layer = make_decoder(config)
    latents = torch.randn(1, config.code_dim, 10)
    changed = latents.clone()
    changed[:, :, 6] += 1.0
    before, after = layer(latents)[0], layer(changed)[0]
    assert torch.equal(before[:, : 6 * 4], after[:, : 6 * 4])
    first_changed_frame = 6 * 4 - LOOK_AHEAD  # output row i is motion frame i - LOOK_AHEAD
    assert not torch.equal(before[:, 6 * 4], after[:, 6 * 4])
    assert first_changed_frame == 22


@pytest.mark.parametrize("stack", STACKS)
def test_codes_of_the_past_do_not_change_with_the_future(stack: str) -> None:
    torch.manual_seed(0)
    model = Hrvq(toy_config(parts=("body", "hands", "face"), part_dims=(9, 6, 4), stack=stack)).eval()
    for part in model.quantizer.books:
        for book in part:
            book.codes.normal_()
    motion = torch.randn(1, 40, 19)
    changed = motion.clone()
    changed[:, 24:] += 3.0
    first, second = model.tokenize(motion), model.tokenize(changed)
    assert torch.equal(first[:, :, :6], second[:, :, :6])
    assert not torch.equal(first[:, :, 6:], second[:, :, 6:])


def test_hint_reaches_the_next_part() -> None:
    """The body's code must be able to change which hand code is chosen: the chain is not cosmetic."""
    torch.manual_seed(0)
    model = Hrvq(toy_config(parts=("body", "hands"), part_dims=(9, 6))).eval()
    for part in model.quantizer.books:
        for book in part:
            book.codes.normal_()
    motion = torch.randn(1, 40, 15)
    changed = motion.clone()
    changed[..., :9] += 5.0
    assert not torch.equal(model.tokenize(motion)[:, 1], model.tokenize(changed)[:, 1])


@pytest.mark.parametrize(
    "changes",
    [{}, {"stack": "conv"}, {"stack": "conv", "causal": False}, {"parts": ("whole",), "smoother": "learned"}],
    ids=["folded", "conv", "offline", "whole"],
)
def test_detokenize_equals_the_quantisers_own_path(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = Hrvq(toy_config(part_dims=(9,), **changes)).eval()
    for book in model.quantizer.books[0]:
        book.codes.normal_()
    motion = torch.randn(1, 40, 9)
    normal, quantised = model(motion, levels=3)
    again, _ = model.detokenize(quantised.codes)
    assert torch.allclose(normal * model.std + model.mean, again, atol=1e-4)
