"""Residual vector quantisation with exponential-moving-average codebooks, chained from part to part (HRVQ).

Letters: B batch, C code dimension, T tokens, P parts, Q levels, K codes of a codebook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .conv import Conv1d
from .hrvq_config import ResetRule
from .processes import gathered, num_processes, own_share


@dataclass(frozen=True)
class Quantised:
    """Result of quantising one batch.

    ``latents`` [B, P * C, T] straight-through sums of the chosen codes, parts stacked in order; ``codes`` [B, P, T, Q]
    int64; ``levels_used`` counts the levels that were run; ``commitment`` scalar; ``perplexity`` [P, Q] (0 where
    unused; in training that of all processes together).
    """

    latents: Tensor
    codes: Tensor
    levels_used: int
    commitment: Tensor
    perplexity: Tensor


def codes_id(tables: Tensor) -> str:
    """Short name of codebooks [P, Q, K, C]: a sampler is good for the codes it was trained on and for no others."""
    return hashlib.sha256(tables.detach().half().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


class Codebook(nn.Module):
    """K codes learned by exponential moving average; codes that are hardly used are re-drawn from the batch.

    Args:
        num_codes: K.
        dim: C.
        decay: Share of the old statistics kept each step (0.99 in the paper).
        reset_below: A code whose average count per step falls below this is replaced by a vector of the batch. It
            scales with the tokens in a batch: 1.0 belongs to 16 tokens per code (``tokenizer.md`` 5). 0 stops resets.
        reset_rule: ``restart`` takes a random vector and restarts the code's statistics; ``redraw`` (``method.md`` 4.3)
            takes the batch's vectors in order and leaves the statistics alone, so that a code is drawn anew at every
            step until it is used.
        temperature: Of the random choice of a code in training (0.5 in the paper); 0 takes the nearest there too.
    """

    def __init__(
        self,
        num_codes: int,
        dim: int,
        decay: float = 0.99,
        reset_below: float = 0.1,
        reset_rule: ResetRule = "restart",
        temperature: float = 0.0,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.reset_below = reset_below
        self.reset_rule = reset_rule
        self.temperature = temperature
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
        return self._distance(flat).argmin(1)

    def drawn(self, flat: Tensor, generator: torch.Generator | None) -> Tensor:
        """Index of a code for each row, chosen with probability ~ exp(-distance^2 / temperature): [N, C] -> [N].

        The noise is drawn for the rows of all processes, so that many use up as much of the generator as one.
        """
        distance = self._distance(flat)
        noise = torch.empty(num_processes() * len(flat), len(self.codes), device=_device(generator, flat))
        noise = own_share(noise.exponential_(generator=generator))
        return (-distance / self.temperature - noise.clamp(min=1e-30).log().to(distance)).argmax(1)

    def _distance(self, flat: Tensor) -> Tensor:
        """Squared distance of every row to every code, less the row's own square: [N, K], always in float32."""
        with torch.autocast(flat.device.type, enabled=False):  # bfloat16 cannot tell near codes apart
            return self.codes.pow(2).sum(1)[None] - 2.0 * flat.float() @ self.codes.T

    @torch.no_grad()
    def start_from(self, flat: Tensor, generator: torch.Generator | None) -> None:
        """Fill the codebook with vectors of the first batch [N, C]; repeats get a little noise."""
        if self.reset_rule == "redraw":
            codes = self._in_order(flat, generator)
        else:
            flat = flat.float()
            codes = flat[self._picks(self.codes.shape[0], flat, generator)]
            codes = codes + 0.01 * self._normal(flat, generator) * flat.std()
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
            if starved.numel() and self.reset_rule == "redraw":
                self.codes[starved] = self._in_order(flat, generator)[starved]
            elif starved.numel():
                picks = self._picks(starved.numel(), flat, generator)
                self.codes[starved] = flat[picks]
                self.sums[starved] = flat[picks] * self.reset_below
                self.counts[starved] = self.reset_below

    def _in_order(self, flat: Tensor, generator: torch.Generator | None) -> Tensor:
        """The first K vectors of the batch; a batch of fewer is repeated with noise of 0.01 / sqrt(C): [K, C]."""
        flat = flat.float()
        num_codes, dim = self.codes.shape
        if len(flat) >= num_codes:
            return flat[:num_codes]
        repeated = flat.repeat(-(-num_codes // len(flat)), 1)[:num_codes]
        return repeated + 0.01 / dim**0.5 * self._normal(flat, generator)

    def _normal(self, flat: Tensor, generator: torch.Generator | None) -> Tensor:
        """Noise as large as the codebook, where ``flat`` lies."""
        return torch.randn(self.codes.shape, generator=generator, device=_device(generator, flat)).to(flat.device)

    @staticmethod
    def _picks(count: int, flat: Tensor, generator: torch.Generator | None) -> Tensor:
        """Rows of ``flat`` at random: [count] int64."""
        return torch.randint(flat.shape[0], (count,), generator=generator, device=_device(generator, flat)).to(
            flat.device
        )


def _device(generator: torch.Generator | None, like: Tensor) -> torch.device:
    """Where random numbers are drawn: with the generator, and without one where the data lie."""
    return like.device if generator is None else generator.device


class ChainedQuantizer(nn.Module):
    """Residual quantisation of every part, each part hinted by the code just chosen for the part before it.

    Per level: part 0 quantises its residual; part p > 0 quantises ``Conv([Lin(code of part p - 1); residual])`` but
    passes on its *unconditioned* residual minus the code. Decoding needs only look-ups and sums. Source: SoulNet
    supplement, chained residual quantisation (``method.md`` 4.2), with the transpose the release misses. Lin and Conv
    are shared over levels; over hops too as in the paper, or one each per hop (ours). Processes that train together
    show every codebook the vectors of all of them: with the same generator state the codebooks stay the same.

    Args:
        num_parts: P, 1 or more.
        num_codes: K.
        dim: C.
        levels: Q.
        dropout: Probability per batch of running only a random number of levels.
        reset_below: See ``Codebook``.
        reset_rule: See ``Codebook``.
        temperature: See ``Codebook``.
        decay: See ``Codebook``.
        share_hints: One Lin and one Conv for all hops.
        causal: Conv looks back only, or is centred.
    """

    def __init__(
        self,
        num_parts: int,
        num_codes: int,
        dim: int,
        levels: int,
        dropout: float = 0.2,
        reset_below: float = 0.1,
        *,
        reset_rule: ResetRule = "restart",
        temperature: float = 0.0,
        decay: float = 0.99,
        share_hints: bool = False,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.levels = levels
        self.dropout = dropout
        self.dim = dim
        self.books = nn.ModuleList(
            nn.ModuleList(Codebook(num_codes, dim, decay, reset_below, reset_rule, temperature) for _ in range(levels))
            for _ in range(num_parts)
        )
        hops = min(num_parts - 1, 1) if share_hints else num_parts - 1
        self.hint_linear = nn.ModuleList(nn.Linear(dim, dim) for _ in range(hops))
        self.hint_conv = nn.ModuleList(Conv1d(2 * dim, dim, 3, causal=causal) for _ in range(hops))

    @property
    def tables(self) -> Tensor:
        """All codes: [P, Q, K, C]."""
        return torch.stack([torch.stack([book.codes for book in part]) for part in self.books])  # type: ignore[attr-defined]

    def set_reset_below(self, value: float, part: int) -> None:
        """Change the reset threshold of the codebooks of one part (0 stops resets)."""
        for book in self.books[part]:  # type: ignore[attr-defined]
            book.reset_below = value

    def forward(
        self, latents: Sequence[Tensor], generator: torch.Generator | None = None, levels: int | None = None
    ) -> Quantised:
        """Quantise.

        Args:
            latents: P tensors [B, C, T], one per part.
            generator: Randomness for level dropout, resets and the choice of codes (training only).
            levels: Run only this many levels (evaluation); ``None`` runs all, or a random number in training.

        Returns:
            ``Quantised``; codes of levels that were not run are 0 and do not count (``levels_used``).
        """
        used = self.levels if levels is None else levels
        device = latents[0].device
        if self.training and levels is None:
            where = _device(generator, latents[0])
            if torch.rand((), generator=generator, device=where) < self.dropout:
                used = int(torch.randint(1, self.levels + 1, (), generator=generator, device=where))
        batch, dim, steps = latents[0].shape
        residuals = list(latents)
        totals = [torch.zeros_like(z) for z in latents]
        codes = torch.zeros(batch, len(latents), steps, self.levels, dtype=torch.long, device=device)
        perplexity = torch.zeros(len(latents), self.levels, device=device)
        commitment = latents[0].new_zeros(())
        for level in range(used):
            hint: Tensor | None = None
            for part, residual in enumerate(residuals):
                query = residual
                if hint is not None:
                    hop = min(part, len(self.hint_linear)) - 1
                    lifted = self.hint_linear[hop](hint.transpose(1, 2)).transpose(1, 2)
                    query, _ = self.hint_conv[hop](torch.cat([lifted, residual], dim=1))
                book: Codebook = self.books[part][level]  # type: ignore[index, assignment]
                flat = query.detach().transpose(1, 2).reshape(-1, dim)
                everyones = gathered(flat) if self.training else flat
                if self.training and not bool(book.is_ready):
                    book.start_from(everyones, generator)
                is_drawn = self.training and book.temperature > 0.0
                index = book.drawn(flat, generator) if is_drawn else book.nearest(flat)
                chosen = book.codes[index].view(batch, steps, dim).transpose(1, 2).to(query.dtype)
                codes[:, part, :, level] = index.view(batch, steps)
                if self.training:
                    index = gathered(index)
                    book.update(everyones, index, generator)
                commitment = commitment + (query - chosen.detach()).pow(2).mean() / used
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
