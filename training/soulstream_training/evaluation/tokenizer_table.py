"""Tokenizers side by side, as in the paper's table 2: the same clips, every level, every part.

Captured body joints are reported apart from hands and face, which a rule made wherever nobody captured them. Motion
from another studio (robot captures) is reported apart too. Not for the measures (``tokenizer_metrics``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import ConfigError
from soulstream_training.data.report_codes import CodeUsage
from soulstream_training.data.store import load_store
from soulstream_training.models.hrvq import Hrvq
from soulstream_training.recipes.hrvq import MIN_ROWS
from soulstream_training.recipes.motion_rows import Stretch, clip_stretches

from .tokenizer import reconstruct
from .tokenizer_metrics import Losses, VertexOffsets, add_losses

STUDIO_FORMATS = ("amc+asf",)
"""Formats of the motion that the table is about; the others are another studio's."""


@dataclass(frozen=True)
class TestSet:
    """Stretches to measure on: those of the studio, by style, and those of others, with the joints they captured."""

    by_style: dict[str, list[Stretch]]
    others: list[tuple[Stretch, NDArray[np.bool_]]]

    @property
    def studio(self) -> list[Stretch]:
        """All stretches of the studio."""
        return [stretch for stretches in self.by_style.values() for stretch in stretches]


def load_test_set(store: Path, split: str = "test", *, columns: str = "arkit52") -> TestSet:
    """Clean stretches of one split; where none is of the studio, all are what the table is about.

    Args:
        store: Prepared motion.
        split: Split of the store.
        columns: As for ``clip_stretches``.

    Returns:
        The stretches, not mirrored.

    Raises:
        ConfigError: If there is no store, or no stretch in the split.
    """
    by_style: dict[str, list[Stretch]] = {}
    others = []
    clips = load_store(store, (split,))
    is_ours = [clip.entry.format in STUDIO_FORMATS for clip in clips]
    for clip, ours in zip(clips, is_ours, strict=True):
        for stretch in clip_stretches(clip, with_mirror=False, min_rows=MIN_ROWS, columns=columns):
            if ours or not any(is_ours):
                by_style.setdefault(clip.entry.style, []).append(stretch)
            else:
                others.append((stretch, clip.captured))
    if not by_style:
        message = f"No clip of the split '{split}' has a clean stretch of {MIN_ROWS} rows."
        raise ConfigError("SPLIT_EMPTY", message, "Name another split, or prepare longer clips.")
    return TestSet(by_style, others)


def measure(
    model: Hrvq,
    stretches: Sequence[Stretch],
    *,
    levels: int | None = None,
    captured: Sequence[NDArray[np.bool_]] | None = None,
    offsets: VertexOffsets | None = None,
) -> dict[str, float]:
    """Means over stretches, weighted by frames; see ``Losses``.

    Args:
        model: In evaluation mode.
        stretches: What is encoded and decoded.
        levels: Levels to use; all if ``None``.
        captured: Joints that each stretch captured; all if ``None``.
        offsets: Vertices of the face.

    Returns:
        Numbers by name.
    """
    losses = Losses()
    for number, stretch in enumerate(stretches):
        made = reconstruct(model, stretch.rows, levels)
        known = captured[number] if captured is not None else None
        add_losses(losses, made, stretch.rows, captured=known, offsets=offsets)
    return losses.means()


def tokenizer_row(model: Hrvq, tests: TestSet, offsets: VertexOffsets | None = None) -> dict[str, Any]:
    """One row of the table.

    Args:
        model: In evaluation mode.
        tests: What is measured on.
        offsets: Vertices of the face.

    Returns:
        ``all body hands face`` (mean joint distances in millimetres, and of a face vertex or weight),
        ``body_style_mean body_worst_style styles``, ``jerk_ratio boundary_ratio slide_ratio velocity acceleration``,
        ``usage`` and ``perplexity`` by part and level with ``usage0`` of the coarsest, ``usage_min`` of all,
        ``bits_per_s``, ``ms_per_token`` (streaming decoder, one thread; ``None`` if it cannot stream), ``levels`` and
        ``others`` (the body on motion of another studio, captured joints).
    """
    total = measure(model, tests.studio, offsets=offsets)
    styles = {style: measure(model, stretches)["body"] for style, stretches in sorted(tests.by_style.items())}
    levels = {}
    for used in range(1, min(model.config.levels, 6) + 1):
        levels[str(used)] = round(measure(model, tests.studio, levels=used)["body"], 2)
    usage, perplexity = code_usage(model, [stretch.rows for stretch in tests.studio])
    row: dict[str, Any] = {name: round(total[name], 2) for name in ("all", "body", "hands") if name in total}
    if "vertex" in total:
        row |= {"face": round(total["vertex"], 3), "fve": round(total["fve"], 2)}
    if "face" in total:
        row["face_weight"] = round(total["face"], 4)
    row |= {
        "body_style_mean": round(float(np.mean(list(styles.values()))), 2),
        "body_worst_style": round(max(styles.values()), 2),
        "styles": {style: round(value, 2) for style, value in styles.items()},
        "jerk_ratio": round(total["jerk"] / total["true_jerk"], 2),
        "boundary_ratio": round(total["boundary"] / total["inside"], 2),
        "slide_ratio": round(total["slide"] / total["true_slide"], 2) if total.get("true_slide") else None,
        "velocity": round(total["velocity"], 2),
        "acceleration": round(total["acceleration"], 2),
        "usage0": usage[model.config.parts[0]][0],
        "usage_min": min(min(values) for values in usage.values()),
        "perplexity": round(float(np.mean([value for values in perplexity.values() for value in values])), 1),
        "usage": usage,
        "perplexities": perplexity,
        "bits_per_s": round(model.config.bits_per_second, 1),
        "ms_per_token": round(decoder_ms_per_token(model), 2) if model.config.causal else None,
        "levels": levels,
    }
    if tests.others:
        stretches, captured = zip(*tests.others, strict=True)
        row["others"] = round(measure(model, stretches, captured=captured)["captured"], 2)
    return row


@torch.no_grad()
def decoder_ms_per_token(model: Hrvq, tokens: int = 2, ticks: int = 60) -> float:
    """What the streaming decoder costs: median over ticks, state in and out, one thread.

    Args:
        model: Causal, in evaluation mode.
        tokens: Tokens of a tick.
        ticks: Ticks to run.

    Returns:
        Milliseconds a token.

    Raises:
        ValueError: If the model is not causal.
    """
    config, threads = model.config, torch.get_num_threads()
    latents = torch.randn(1, config.code_dim * len(config.parts), tokens)
    states, times_ns = None, []
    torch.set_num_threads(1)
    try:
        for _ in range(ticks):
            start_ns = monotonic_ns()
            _, states = model.decoder(latents, states)
            times_ns.append(monotonic_ns() - start_ns)
    finally:
        torch.set_num_threads(threads)
    return float(np.median(times_ns)) / 1e6 / tokens


def code_usage(
    model: Hrvq, rows: Sequence[NDArray[np.float32]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Share of the codes that occur, and perplexity, by part and level.

    Args:
        model: In evaluation mode.
        rows: Stretches [T, D].

    Returns:
        Two dictionaries from part to a value a level.
    """
    counter = CodeUsage(model, sum(model.config.part_dims))
    counter.add(rows)
    usage: dict[str, list[float]] = {}
    perplexity: dict[str, list[float]] = {}
    for level in counter.levels():
        usage.setdefault(level.part, []).append(round(level.num_used / level.num_codes, 3))
        perplexity.setdefault(level.part, []).append(round(level.perplexity, 1))
    return usage, perplexity
