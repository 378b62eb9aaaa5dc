"""Residual vector quantisation with exponential-moving-average codebooks, chained from part to part (HRVQ).

Letters: B batch, C code dimension, T tokens, P parts, Q levels, K codes of a codebook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .conv import CausalConv1d


@dataclass(frozen=True)
class Quantised:
    """Result of quantising one batch.

    ``latents`` [B, P * C, T] straight-through sums of the chosen codes, parts stacked in order; ``codes`` [B, P, T, Q]
    int64; ``levels_used`` counts the levels that were run; ``commitment`` scalar; ``perplexity`` [P, Q] (0 where
    unused).
    """

    latents: Tensor
    codes: Tensor
    levels_used: int
    commitment: Tensor
    perplexity: Tensor


def codes_id(tables: Tensor) -> str:
    """Short name of codebooks [P, Q, K, C]: a sampler is good for the codes it was trained on and for no others."""
    return hashlib.sha256(tables.detach().half().contiguous().numpy().tobytes()).hexdigest()[:16]


class Codebook(nn.Module):
    """K codes learned by exponential moving average; codes that are hardly used are re-drawn from the batch.

    Args:
        num_codes: K.
        dim: C.
        decay: Share of the old statistics kept each step (0.99 in the paper).
        reset_below: A code whose average count per step falls below this is replaced by a vector of the batch. It
        scales
            with the tokens in a batch: 1.0 belongs to 16 tokens per code (``tokenizer.md`` 5).
    """

    def __init__(self, num_codes: int, dim: int, decay: float = 0.99, reset_below: float = 0.1) -> None:
        super().__init__()
        self.decay = decay
        self.reset_below = reset_below
        self.register_buffer("codes", torch.zeros(num_codes, dim))
        self.register_buffer("sums", torch.zeros(num_codes, dim))
        self.register_buffer("counts", torch.zeros(num_codes))
        self.register_buffer("is_ready", torch.zeros((), dtype=torch.bool))

    codes: Tensor
    sums: Tensor
    counts: Tensor
    is_ready: Tensor

    def nearest(self, flat: Tensor) -> Tensor:
        """Index of the nearest code for each row: [N, C] -> [N] int64."""
        flat = flat.float()
        distance = self.codes.pow(2).sum(1)[None] - 2.0 * flat @ self.codes.T
        return distance.argmin(1)

    @torch.no_grad()
    def start_from(self, flat: Tensor, generator: torch.Generator | None) -> None:
        """Fill the codebook with vectors of the first batch [N, C]; repeats get a little noise."""
        picks = torch.randint(flat.shape[0], (self.codes.shape[0],), generator=generator)
        codes = flat[picks].float() + 0.01 * torch.randn(self.codes.shape, generator=generator) * flat.float().std()
        self.codes.copy_(codes)
        self.sums.copy_(codes)
        self.counts.fill_(1.0)
        self.is_ready.fill_(True)

    @torch.no_grad()
    def update(self, flat: Tensor, index: Tensor, generator: torch.Generator | None) -> None:
        """Move the codes towards the vectors that chose them: flat [N, C], index [N]."""
        flat = flat.float()
        counts = torch.bincount(index, minlength=self.codes.shape[0]).float()
        sums = torch.zeros_like(self.sums).index_add_(0, index, flat)
        self.counts.mul_(self.decay).add_(counts, alpha=1.0 - self.decay)
        self.sums.mul_(self.decay).add_(sums, alpha=1.0 - self.decay)
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-5)[:, None])
        if self.reset_below > 0.0:
            starved = (self.counts < self.reset_below).nonzero()[:, 0]
            if starved.numel():
                picks = torch.randint(flat.shape[0], (starved.numel(),), generator=generator)
                self.codes[starved] = flat[picks]
                self.sums[starved] = flat[picks] * self.reset_below
                self.counts[starved] = self.reset_below


class ChainedQuantizer(nn.Module):
    """Residual quantisation of every part, each part hinted by the code just chosen for the part before it.

    Per level: part 0 quantises its residual; part p > 0 quantises ``Conv([Lin(code of part p - 1); residual])`` but
    passes on its *unconditioned* residual minus the code. Decoding needs only look-ups and sums. Source: SoulNet
    supplement, chained residual quantisation (``method.md`` 4.2), with the transpose the release misses; one Lin and
    one causal Conv per hop, shared over levels (ours).

    Args:
        num_parts: P, 1 or more.
        num_codes: K.
        dim: C.
        levels: Q.
        dropout: Probability per batch of running only a random number of levels.
        reset_below: See ``Codebook``.
    """

    def __init__(
        self, num_parts: int, num_codes: int, dim: int, levels: int, dropout: float = 0.2, reset_below: float = 0.1
    ) -> None:
        super().__init__()
        self.levels = levels
        self.dropout = dropout
        self.dim = dim
        self.books = nn.ModuleList(
            nn.ModuleList(Codebook(num_codes, dim, reset_below=reset_below) for _ in range(levels))
            for _ in range(num_parts)
        )
        self.hint_linear = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_parts - 1))
        self.hint_conv = nn.ModuleList(CausalConv1d(2 * dim, dim, 3) for _ in range(num_parts - 1))

    @property
    def tables(self) -> Tensor:
        """All codes: [P, Q, K, C]."""
        return torch.stack([torch.stack([book.codes for book in part]) for part in self.books])  # type: ignore[attr-defined]

    def set_reset_below(self, value: float) -> None:
        """Change the reset threshold of every codebook (0 stops resets)."""
        for part in self.books:
            for book in part:  # type: ignore[attr-defined]
                book.reset_below = value

    def forward(
        self, latents: Sequence[Tensor], generator: torch.Generator | None = None, levels: int | None = None
    ) -> Quantised:
        """Quantise.

        Args:
            latents: P tensors [B, C, T], one per part.
            generator: Randomness for level dropout and resets (training only).
            levels: Run only this many levels (evaluation); ``None`` runs all, or a random number in training.

        Returns:
            ``Quantised``; codes of levels that were not run are 0 and do not count (``levels_used``).
        """
        used = self.levels if levels is None else levels
        if self.training and levels is None and torch.rand((), generator=generator) < self.dropout:
            used = int(torch.randint(1, self.levels + 1, (), generator=generator))
        batch, dim, steps = latents[0].shape
        residuals = list(latents)
        totals = [torch.zeros_like(z) for z in latents]
        codes = torch.zeros(batch, len(latents), steps, self.levels, dtype=torch.long)
        perplexity = torch.zeros(len(latents), self.levels)
        commitment = latents[0].new_zeros(())
        for level in range(used):
            hint: Tensor | None = None
            for part, residual in enumerate(residuals):
                query = residual
                if hint is not None:
                    lifted = self.hint_linear[part - 1](hint.transpose(1, 2)).transpose(1, 2)
                    query, _ = self.hint_conv[part - 1](torch.cat([lifted, residual], dim=1))
                book: Codebook = self.books[part][level]  # type: ignore[index, assignment]
                flat = query.detach().transpose(1, 2).reshape(-1, dim)
                if self.training and not bool(book.is_ready):
                    book.start_from(flat, generator)
                index = book.nearest(flat)
                chosen = book.codes[index].view(batch, steps, dim).transpose(1, 2).to(query.dtype)
                if self.training:
                    book.update(flat, index, generator)
                commitment = commitment + (query - chosen.detach()).pow(2).mean() / used
                codes[:, part, :, level] = index.view(batch, steps)
                usage = torch.bincount(index, minlength=book.codes.shape[0]).float()
                usage = usage / usage.sum()
                perplexity[part, level] = torch.exp(-(usage * (usage + 1e-10).log()).sum())
                hint = query + (chosen - query).detach()
                totals[part] = totals[part] + hint
                residuals[part] = residual - chosen.detach()
        return Quantised(torch.cat(totals, dim=1), codes, used, commitment, perplexity)

    def lookup(self, codes: Tensor, levels: int | None = None) -> Tensor:
        """Sum of the codes: [B, P, T, Q] int64 -> [B, P * C, T]; Q may be fewer than all levels."""
        used = codes.shape[-1] if levels is None else levels
        parts = []
        for part in range(codes.shape[1]):
            total = sum(self.books[part][level].codes[codes[:, part, :, level]] for level in range(used))  # type: ignore[index]
            parts.append(total.transpose(1, 2))  # type: ignore[union-attr, attr-defined]
        return torch.cat(parts, dim=1)
