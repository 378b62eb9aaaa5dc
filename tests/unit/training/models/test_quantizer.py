from __future__ import annotations

import pytest
import torch

from soulstream_training.models.hrvq_config import ResetRule
from soulstream_training.models.quantizer import ChainedQuantizer, Codebook


def clusters(centres: torch.Tensor, count: int, spread: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(centres), (count,), generator=generator)
    return centres[picks] + spread * torch.randn(count, centres.shape[1], generator=generator)


def ready_quantizer(
    parts: int = 1, levels: int = 3, codes: int = 32, dim: int = 4, **changes: float
) -> ChainedQuantizer:
    torch.manual_seed(0)
    quantizer = ChainedQuantizer(parts, codes, dim, levels, **changes)  # type: ignore[arg-type]
    for part in quantizer.books:
        for level, book in enumerate(part):
            book.codes.normal_(std=0.5**level)
            book.codes[0] = 0.0  # "add nothing" is always possible
            book.is_ready.fill_(True)
    return quantizer


def test_codes_move_to_the_centres_of_what_chose_them() -> None:
    centres = torch.tensor([[10.0, 0.0], [-10.0, 0.0], [0.0, 10.0]])
    book = Codebook(3, 2, decay=0.9, reset_below=0.0)
    generator = torch.Generator().manual_seed(0)
    book.start_from(centres + 2.0, generator)
    book.codes.copy_(centres + 2.0)
    for step in range(60):
        flat = clusters(centres, 64, 0.3, step)
        book.update(flat, book.nearest(flat), generator)
    assert torch.cdist(centres, book.codes).amin(1).max() < 0.2


def test_codes_that_nobody_chooses_are_drawn_anew_from_the_batch() -> None:
    flat = clusters(torch.tensor([[5.0, 5.0], [-5.0, 5.0]]), 64, 0.1, 0)
    book = Codebook(8, 2, decay=0.5, reset_below=1.0)
    generator = torch.Generator().manual_seed(0)
    book.start_from(flat, generator)
    book.codes[3:] = 1000.0
    book.sums[3:] = 1000.0
    for _ in range(4):
        book.update(flat, book.nearest(flat), generator)
    assert book.codes.abs().max() < 10.0
    assert (torch.cdist(book.codes[3:], flat).amin(1) < 1.0).all()


def test_resets_stop_for_one_part_alone() -> None:
    quantizer = ready_quantizer(codes=8, reset_below=1.0, parts=2)
    quantizer.set_reset_below(0.0, 0)
    assert {book.reset_below for book in quantizer.books[0]} == {0.0}
    assert {book.reset_below for book in quantizer.books[1]} == {1.0}


def test_resets_stop_at_zero() -> None:
    quantizer = ready_quantizer(codes=8, reset_below=1e9)
    quantizer.set_reset_below(0.0, 0)
    book = quantizer.books[0][0]
    flat = torch.full((16, 4), 3.0)
    book.codes[5] = 77.0
    book.sums[5] = 77.0
    book.counts.fill_(1.0)
    book.update(flat, torch.zeros(16, dtype=torch.long), None)
    assert torch.allclose(book.codes[5], torch.full((4,), 77.0))


def test_the_first_batch_fills_the_codebook() -> None:
    flat = clusters(torch.tensor([[5.0, 5.0]]), 10, 1.0, 0)
    book = Codebook(32, 2)
    book.start_from(flat, torch.Generator().manual_seed(0))
    assert bool(book.is_ready)
    assert torch.cdist(book.codes, flat).amin(1).max() < 0.2
    assert len(book.codes.unique(dim=0)) == 32


def test_each_level_leaves_a_smaller_residual() -> None:
    quantizer = ready_quantizer(levels=4, codes=64).eval()
    latents = torch.randn(4, 4, 20)
    errors = []
    for levels in range(1, 5):
        made = quantizer([latents], levels=levels)
        errors.append(float((latents - made.latents).pow(2).mean()))
        assert made.levels_used == levels
        assert not made.codes[..., levels:].any()
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_fewer_levels_are_the_first_levels_of_all() -> None:
    quantizer = ready_quantizer(parts=2).eval()
    latents = [torch.randn(2, 4, 9) for _ in range(2)]
    whole, part = quantizer(latents), quantizer(latents, levels=2)
    assert torch.equal(whole.codes[..., :2], part.codes[..., :2])
    assert torch.allclose(quantizer.lookup(whole.codes, levels=2), part.latents, atol=1e-5)


def test_the_sum_of_the_codes_is_what_the_decoder_gets() -> None:
    quantizer = ready_quantizer(parts=3).eval()
    made = quantizer([torch.randn(2, 4, 9) for _ in range(3)])
    assert made.codes.shape == (2, 3, 9, 3)
    by_hand = torch.zeros(2, 12, 9)
    for part in range(3):
        for level in range(3):
            chosen = quantizer.books[part][level].codes[made.codes[:, part, :, level]]
            by_hand[:, 4 * part : 4 * part + 4] += chosen.transpose(1, 2)
    assert torch.allclose(quantizer.lookup(made.codes), by_hand, atol=1e-6)
    assert torch.allclose(made.latents, by_hand, atol=1e-5)


def test_gradient_passes_straight_through_to_every_part() -> None:
    quantizer = ready_quantizer(parts=2).train()
    latents = [torch.randn(2, 4, 9, requires_grad=True) for _ in range(2)]
    made = quantizer(latents, torch.Generator().manual_seed(0), levels=3)
    made.latents[:, 4:].sum().backward()  # a loss on the second part alone ...
    assert all(latent.grad is not None and latent.grad.abs().sum() > 0 for latent in latents)  # ... teaches both
    assert not any(parameter.requires_grad for book in quantizer.books[0] for parameter in book.parameters())


def test_commitment_is_the_distance_to_the_chosen_code() -> None:
    quantizer = ready_quantizer(levels=1).eval()
    latents = torch.randn(2, 4, 9, requires_grad=True)
    made = quantizer([latents])
    chosen = quantizer.lookup(made.codes)
    assert torch.allclose(made.commitment, (latents - chosen).pow(2).mean(), atol=1e-6)
    made.commitment.backward()
    assert torch.allclose(latents.grad, 2 * (latents - chosen).detach() / latents.numel(), atol=1e-6)


def test_perplexity_counts_the_codes_in_use() -> None:
    quantizer = ready_quantizer(levels=1, codes=4, dim=2).eval()
    book = quantizer.books[0][0]
    book.codes.copy_(torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]]))
    two = torch.tensor([[0.0, 0.0], [9.0, 0.0]]).repeat(4, 1).T[None]
    assert float(quantizer([two]).perplexity[0, 0]) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(("rule", "temperature"), [("restart", 0.0), ("redraw", 0.5)])
def test_training_draws_from_the_given_generator_alone(rule: ResetRule, temperature: float) -> None:
    results = []
    for noise in (1, 2):
        torch.manual_seed(0)
        quantizer = ChainedQuantizer(2, 16, 4, 3, 0.9, 0.5, reset_rule=rule, temperature=temperature).train()
        latents = [torch.randn(2, 4, 30, generator=torch.Generator().manual_seed(part)) for part in range(2)]
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        generator = torch.Generator().manual_seed(7)
        used = [quantizer(latents, generator).levels_used for _ in range(8)]
        assert torch.equal(before, torch.get_rng_state())
        results.append((used, quantizer.state_dict()))
    assert results[0][0] == results[1][0]
    assert len(set(results[0][0])) > 1, "level dropout never happened"
    for key, value in results[0][1].items():
        assert torch.equal(value, results[1][1][key]), key


def test_evaluation_changes_no_codebook() -> None:
    quantizer = ready_quantizer(reset_below=1e9).eval()
    before = {key: value.clone() for key, value in quantizer.state_dict().items()}
    quantizer([torch.randn(2, 4, 9)])
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())


def test_codes_are_drawn_by_their_distance_in_training_and_nearest_in_evaluation() -> None:
    quantizer = ready_quantizer(levels=1, codes=3, dim=2, temperature=0.5)
    book = quantizer.books[0][0]
    book.decay, book.reset_below = 1.0, 0.0
    places = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.0, 5.0]])
    book.codes.copy_(places)
    book.sums.copy_(places)
    book.counts.fill_(1.0)
    many = torch.tensor([[0.1], [0.0]]).repeat(1, 20000)[None]
    drawn = quantizer.train()([many], torch.Generator().manual_seed(0), levels=1).codes
    share = torch.bincount(drawn.flatten(), minlength=3) / 20000
    weight = torch.exp(-(places - torch.tensor([0.1, 0.0])).pow(2).sum(1) / 0.5)
    assert torch.allclose(share, weight / weight.sum(), atol=0.015)
    assert 0.1 < float(share[1]) < 0.5
    assert not quantizer.eval()([many]).codes.any()


def test_redrawn_codes_come_from_the_batch_in_order_until_they_are_used() -> None:
    book = Codebook(4, 2, decay=0.9, reset_below=1.0, reset_rule="redraw")
    first = torch.arange(12.0).view(6, 2)
    book.start_from(first, None)
    assert torch.equal(book.codes, first[:4])
    counts = book.counts.clone()
    for step in range(3):  # all vectors choose code 0: the others starve
        flat = torch.full((6, 2), 50.0) + torch.arange(6.0)[:, None] + 10.0 * step
        book.update(flat, torch.zeros(6, dtype=torch.long), None)
        counts = 0.9 * counts + 0.1 * torch.tensor([6.0, 0.0, 0.0, 0.0])
        assert torch.allclose(book.counts, counts), "a reset must leave the statistics alone"
        assert torch.equal(book.codes[1:], flat[1:4])
    flat = torch.tensor([[7.0, 7.0]]).repeat(60, 1)
    book.update(flat, torch.ones(60, dtype=torch.long), None)  # used at last: the average counts again
    assert float(book.counts[1]) > 1.0
    assert torch.allclose(book.codes[1], book.sums[1] / book.counts[1])


def test_a_batch_of_fewer_vectors_than_codes_is_repeated_with_noise() -> None:
    book = Codebook(10, 4, reset_rule="redraw")
    flat = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    book.start_from(flat, torch.Generator().manual_seed(1))
    assert len(book.codes.unique(dim=0)) == 10
    assert (book.codes - flat.repeat(4, 1)[:10]).abs().max() < 6 * 0.01 / 4**0.5


@pytest.mark.parametrize(("shared", "hops"), [(True, 1), (False, 2)])
def test_hints_of_three_parts_are_shared_or_not(shared: bool, hops: int) -> None:
    quantizer = ready_quantizer(parts=3, share_hints=shared).train()
    assert len(quantizer.hint_linear) == len(quantizer.hint_conv) == hops
    latents = [torch.randn(2, 4, 9) for _ in range(3)]
    quantizer(latents, torch.Generator().manual_seed(0), levels=3).latents[:, 8:].sum().backward()
    last = quantizer.hint_conv[-1].taps.weight.grad
    assert last is not None
    assert last.abs().sum() > 0
    assert len(ready_quantizer(parts=1, share_hints=shared).hint_linear) == 0


def test_levels_are_left_out_as_often_as_asked_and_evenly() -> None:
    quantizer = ready_quantizer(levels=6, codes=4, dropout=0.5, reset_below=0.0).train()
    generator = torch.Generator().manual_seed(0)
    latents = [torch.randn(1, 4, 2)]
    used = torch.tensor([quantizer(latents, generator).levels_used for _ in range(600)])
    shares = torch.bincount(used, minlength=7)[1:] / 600
    assert torch.allclose(shares[:5], torch.full((5,), 0.5 / 6), atol=0.04)
    assert float(shares[5]) == pytest.approx(0.5 + 0.5 / 6, abs=0.06)


@torch.no_grad()
def test_commitment_is_the_sum_over_parts_and_the_mean_over_levels() -> None:
    quantizer = ready_quantizer(parts=2, levels=3).eval()
    latents = [torch.randn(2, 4, 9) for _ in range(2)]
    body = ChainedQuantizer(1, 32, 4, 3).eval()
    body.books[0].load_state_dict(quantizer.books[0].state_dict())
    residual, by_hand = latents[0], 0.0
    for level in range(3):
        code = body.books[0][level].codes[quantizer(latents).codes[:, 0, :, level]].transpose(1, 2)
        by_hand += float((residual - code).pow(2).mean()) / 3
        residual = residual - code
    assert float(body(latents[:1]).commitment) == pytest.approx(by_hand, rel=1e-4)
    assert float(quantizer(latents).commitment) > by_hand
