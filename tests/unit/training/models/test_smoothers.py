from __future__ import annotations

import torch

from soulstream_training.models.smoothers import LOOK_AHEAD, LearnedSmoother, Smoother, make_smoother


def test_no_smoother_is_a_delay() -> None:
    x = torch.randn(2, 12, 5)
    made, _ = make_smoother("none", 5)(x)
    assert torch.equal(made[:, LOOK_AHEAD:], x[:, :-LOOK_AHEAD])
    assert not made[:, :LOOK_AHEAD].any()


def test_learned_smoother_starts_as_the_binomial_one() -> None:
    x = torch.randn(2, 24, 5)
    assert torch.allclose(LearnedSmoother(5)(x)[0], Smoother(5)(x)[0], atol=1e-6)


def test_learned_smoother_gets_better_than_the_binomial_one_at_jumps_between_tokens() -> None:
    """Frames carry an error that depends on their place in the token: what a fixed low-pass cannot undo."""
    torch.manual_seed(0)
    time = torch.arange(96) / 10
    truth = torch.sin(time[None, :, None] + 6.28 * torch.rand(8, 1, 5))
    jumps = torch.tensor([-0.3, -0.1, 0.1, 0.3]).repeat(24)[None, :, None] * torch.randn(8, 1, 5)
    layer = LearnedSmoother(5)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        made, _ = layer(truth + jumps)
        loss = (made[:, 8:] - truth[:, 8 - LOOK_AHEAD : -LOOK_AHEAD]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.grad is not None for parameter in layer.parameters())
