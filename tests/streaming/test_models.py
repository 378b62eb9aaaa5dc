"""Every causal layer: pieces give what the whole gives, and the past never hears the future."""

from __future__ import annotations

import pytest
import torch

from soulstream_training.models.conv import CausalConv1d, CausalStack
from soulstream_training.models.hrvq import LOOK_AHEAD, Decoder, Hrvq, PartEncoder, Smoother, toy_config

TOLERANCE = 1e-5  # measured 2e-6 at most
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
    layer = CausalConv1d(5, 7, kernel, dilation)
    x = torch.randn(2, 5, 12)
    assert torch.allclose(_stream(layer, x, pieces, 2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
def test_stack_in_pieces_equals_whole(pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = CausalStack(6, (9, 3, 1))
    x = torch.randn(2, 6, 12)
    assert torch.allclose(_stream(layer, x, pieces, 2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
def test_smoother_in_pieces_equals_whole(pieces: tuple[int, ...]) -> None:
    x = torch.randn(2, 12, 5)
    assert torch.allclose(_stream(Smoother(5), x, pieces, 1), Smoother(5)(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
def test_encoder_in_pieces_equals_whole(pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    config = toy_config(part_dims=(11,))
    layer = PartEncoder(11, config)
    x = torch.randn(2, 48, 11)
    states, outputs = None, []
    for piece in torch.split(x, [size * 4 for size in pieces], dim=1):
        out, states = layer(piece, states)
        outputs.append(out)
    assert torch.allclose(torch.cat(outputs, dim=2), layer(x)[0], atol=TOLERANCE)


@pytest.mark.parametrize("pieces", PIECES)
def test_decoder_in_pieces_equals_whole(pieces: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    config = toy_config(parts=("body", "hands", "face"), part_dims=(9, 6, 4))
    layer = Decoder(config)
    latents = torch.randn(2, 3 * config.code_dim, 12)
    states, outputs = None, []
    for piece in torch.split(latents, list(pieces), dim=2):
        out, states = layer(piece, states)
        outputs.append(out)
    assert torch.allclose(torch.cat(outputs, dim=1), layer(latents)[0], atol=TOLERANCE)


def test_decoded_frame_depends_on_no_token_after_its_look_ahead() -> None:
    torch.manual_seed(0)
    config = toy_config(part_dims=(9,))
    layer = Decoder(config)
    latents = torch.randn(1, config.code_dim, 10)
    changed = latents.clone()
    changed[:, :, 6] += 1.0
    before, after = layer(latents)[0], layer(changed)[0]
    assert torch.equal(before[:, : 6 * 4], after[:, : 6 * 4])
    first_changed_frame = 6 * 4 - LOOK_AHEAD  # output row i is motion frame i - LOOK_AHEAD
    assert not torch.equal(before[:, 6 * 4], after[:, 6 * 4])
    assert first_changed_frame == 22


def test_codes_of_the_past_do_not_change_with_the_future() -> None:
    torch.manual_seed(0)
    model = Hrvq(toy_config(parts=("body", "hands", "face"), part_dims=(9, 6, 4))).eval()
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


def test_detokenize_equals_the_quantisers_own_path() -> None:
    torch.manual_seed(0)
    model = Hrvq(toy_config(part_dims=(9,))).eval()
    for book in model.quantizer.books[0]:
        book.codes.normal_()
    motion = torch.randn(1, 40, 9)
    normal, quantised = model(motion, levels=3)
    again, _ = model.detokenize(quantised.codes)
    assert torch.allclose(normal * model.std + model.mean, again, atol=1e-4)
