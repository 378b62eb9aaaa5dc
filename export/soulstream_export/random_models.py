"""Networks of a given size with random weights: for speed, memory and compilation, before anyone has trained them.

What they dance is noise around a body that stands. Not for: anything that is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.frames import F32
from soulstream_engine.motion.idle import idle_poses
from soulstream_engine.motion.representation import encode
from soulstream_training.models.hrvq import Hrvq, preset
from soulstream_training.models.hrvq_config import Size
from soulstream_training.models.magm import Magm, MagmConfig

from .bundle_writer import BundleFacts

FRAMES = 31
"""Frames of the standing body whose mean row the noise is around."""

_DEVIATION = 0.02
"""Of every column around the standing body: small, because nobody is to be startled."""

_STAGES: dict[Size, dict[str, Any]] = {
    "paper": {"width": 512, "layers": 6, "heads": 8, "hidden": 2048},
    "stage": {"width": 192, "layers": 4, "heads": 6, "hidden": 768},
    "toy": {"width": 32, "layers": 2, "heads": 2, "hidden": 64, "context": 8},
}
"""What differs from the defaults of ``MagmConfig``. ``paper`` is the published width, depth and heads (``method.md``
5.1) with our music attention and a feed-forward part of 2,048; ``stage`` is the bundle that ships."""

_DRAWN_LEVELS: dict[Size, int] = {"paper": 6, "stage": 3, "toy": 3}

_SAMPLERS: dict[Size, dict[str, Any]] = {
    "paper": {"iterations": 6, "guidance": 4.0, "residual_guidance": 5.0},
    "stage": {"iterations": 4, "keep_share": 0.3},
    "toy": {"iterations": 3, "guidance": 2.0, "residual_guidance": 1.5, "keep_share": 0.5},
}

_CANDIDATES: dict[Size, int] = {"paper": 1, "stage": 7, "toy": 3}


def random_networks(
    size: Size, planned: int = 8, commit: int = 2, seed: int = 0, motion: str | None = None
) -> tuple[Hrvq, Magm, Magm]:
    """Tokenizer, mask stage and residual stage in evaluation mode.

    Args:
        size: ``paper``, ``stage`` (as it ships) or ``toy``.
        planned: Tokens that a tick plans.
        commit: Tokens that it commits, ``planned`` at most.
        seed: Of the weights.
        motion: ``arkit52`` (body, hands and face), ``none`` (body and hands) or ``body``; ``None``: all of it for
            ``paper``, else the body.

    Raises:
        ValueError: If the tokens do not fit each other.
    """
    if not 1 <= commit <= planned:
        raise ValueError(f"{commit} tokens cannot be committed of {planned} that are planned")
    torch.manual_seed(seed)
    motion = motion or ("arkit52" if size == "paper" else "body")
    tokenizer = Hrvq(preset("hrvq", size=size, face_space=motion, causal=True)).eval()
    tokenizer.mean.copy_(torch.from_numpy(_standing())[: len(tokenizer.mean)])
    tokenizer.std.fill_(_DEVIATION)
    for part in tokenizer.quantizer.books:
        for book in part:  # type: ignore[attr-defined]
            book.codes.normal_()
            book.is_ready.fill_(True)
    shape = _STAGES[size] | {"planned": planned, "commit": commit, "num_features": NUM_FEATURES}
    shape |= {"num_parts": len(tokenizer.config.parts), "num_codes": tokenizer.config.num_codes}
    stages = [Magm(MagmConfig(first_level=level, levels=_DRAWN_LEVELS[size], **shape)).eval() for level in (0, 1)]
    with torch.no_grad():
        for stage in stages:
            stage.out_tables.mul_(10.0)  # scores of order 1, as trained ones have
    return tokenizer, stages[0], stages[1]


def random_facts(size: Size, not_generated: tuple[str, ...] | None = None) -> BundleFacts:
    """What the manifest of a random bundle says; ``not_generated`` as in ``random_networks`` unless given."""
    if not_generated is None:
        not_generated = () if size == "paper" else ("hands", "face")
    return BundleFacts(
        model_id=f"random-{size}",
        created_from="Random weights: nothing was learned. For speed, memory and compilation only.",
        notices=(),
        sampler={"lead_frames": 6} | _SAMPLERS[size],
        candidates=_CANDIDATES[size],
        not_generated=not_generated,
    )


def _standing() -> F32:
    """Mean row [675] of the dancer who waits."""
    root, joints, face = idle_poses(range(FRAMES), [0.0, 0.0, 0.0], 0.0)
    return np.asarray(encode(root, joints, face).mean(0), np.float32)
