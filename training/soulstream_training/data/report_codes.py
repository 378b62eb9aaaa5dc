"""How the codes of a tokenizer are used by the clips of a store.

Not for how well it rebuilds motion (``evaluation.tokenizer``). Torch is imported when codes are counted, not before.

Letters: N frames, D body features, Q levels, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import BODY_DIM

if TYPE_CHECKING:
    from soulstream_training.models.hrvq import Hrvq


@dataclass(frozen=True, slots=True)
class CodeLevel:
    """How the codes of a level are used.

    Attributes:
        part: Part of the motion.
        level: Depth of the residual quantisation, 0 the coarsest.
        num_tokens: Tokens counted.
        num_used: Codes that occur at all.
        perplexity: How many codes would carry as much if all were used alike, 1..K; 0 without tokens.
        shares: [K] share of the tokens of each code, the largest first.
    """

    part: str
    level: int
    num_tokens: int
    num_used: int
    perplexity: float
    shares: tuple[float, ...]

    @property
    def num_codes(self) -> int:
        """K."""
        return len(self.shares)


class CodeUsage:
    """Counts codes segment by segment.

    Args:
        tokenizer: In evaluation mode.
        num_columns: Columns of the rows that will be counted.

    Raises:
        ConfigError: If it takes another number of columns.
        ValueError: If it is in training mode.
    """

    def __init__(self, tokenizer: Hrvq, num_columns: int = BODY_DIM) -> None:
        config = tokenizer.config
        if tokenizer.training:
            raise ValueError("the tokenizer is in training mode, where counting would change its codes")
        if sum(config.part_dims) != num_columns:
            message = f"The tokenizer takes {sum(config.part_dims)} features, the rows have {num_columns}."
            raise ConfigError("TOKENIZER_UNFIT", message, f"Name the folder of a tokenizer of {num_columns} features.")
        self._tokenizer = tokenizer
        self._counts = np.zeros((len(config.parts), config.levels, config.num_codes), dtype=np.int64)

    def add(self, rows: Sequence[NDArray[np.float32]]) -> None:
        """Counts the codes of clean segments, each [N, D]; the last N modulo 4 frames of a segment have none."""
        import torch

        from soulstream_training.models.hrvq import FRAMES_PER_TOKEN

        for segment in rows:
            num_frames = len(segment) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
            if not num_frames:
                continue
            codes = self._tokenizer.tokenize(torch.from_numpy(segment[None, :num_frames].copy()))[0].numpy()
            num_parts, num_levels, num_codes = self._counts.shape
            for part in range(num_parts):
                for level in range(num_levels):
                    self._counts[part, level] += np.bincount(codes[part, :, level], minlength=num_codes)

    def levels(self) -> list[CodeLevel]:
        """What was counted so far, part by part."""
        found = []
        for name, of_part in zip(self._tokenizer.config.parts, self._counts, strict=True):
            for level, counts in enumerate(of_part):
                num_tokens = int(counts.sum())
                shares = np.sort(counts / max(num_tokens, 1))[::-1]
                used = shares[shares > 0.0]
                perplexity = float(np.exp(-np.sum(used * np.log(used)))) if num_tokens else 0.0
                found.append(CodeLevel(name, level, num_tokens, len(used), perplexity, tuple(shares.tolist())))
        return found
