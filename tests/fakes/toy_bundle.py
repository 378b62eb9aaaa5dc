"""A bundle of tiny networks with random weights, exported by the real exporter, and music for it to dance to.

Building one takes some seconds, so each kind is built once per run and shared.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.features.layout import NUM_FEATURES

if TYPE_CHECKING:
    from soulstream_training.models.hrvq import Hrvq
    from soulstream_training.models.magm import Magm

PART_DIMS = {"body": 263, "hands": 12, "face": 7}
"""Parts of a toy with three; hands and face are far smaller than real ones."""

SAMPLER = {"lead_frames": 8, "iterations": 3, "guidance": 2.0, "residual_guidance": 1.5, "keep_share": 0.5}
CANDIDATES = 3


class Toy(NamedTuple):
    """Networks in evaluation mode (rounded to what the bundle stores) and the bundle made of them."""

    tokenizer: Hrvq
    mask: Magm
    residual: Magm
    folder: Path
    halves: int


def toy_networks(num_parts: int, levels: int, unused: int = 0) -> tuple[Hrvq, Magm, Magm]:
    """Random networks whose codes depend on the music, around a body that stands.

    Args:
        num_parts: 1 or 3.
        levels: Levels that are drawn.
        unused: Further levels of the tokenizer.
    """
    import torch

    from soulstream_engine.motion.idle import idle_poses
    from soulstream_engine.motion.representation import encode_body
    from soulstream_training.models.hrvq import Hrvq, toy_config
    from soulstream_training.models.magm import Magm, MagmConfig

    parts = tuple(PART_DIMS)[:num_parts]
    torch.manual_seed(num_parts)
    dims = tuple(PART_DIMS[part] for part in parts)
    tokenizer = Hrvq(toy_config(parts=parts, part_dims=dims, levels=levels + unused)).eval()
    root, joints, _ = idle_poses(range(31), [0.0, 0.0, 0.0], 0.0)
    tokenizer.mean[:263] = torch.from_numpy(encode_body(root, joints[:, :22]).mean(0))
    tokenizer.std.fill_(0.05)
    tokenizer.std[:3] = 0.01
    for part in tokenizer.quantizer.books:
        for book in part:
            book.codes.normal_()
            book.is_ready.fill_(True)
    shape = {"num_parts": num_parts, "levels": levels, "num_codes": 16, "num_features": NUM_FEATURES}
    shape |= {"width": 32, "layers": 2, "heads": 2, "hidden": 64, "context": 8}
    stages = [Magm(MagmConfig(first_level=level, **shape)).eval() for level in (0, 1)]
    with torch.no_grad():
        for stage in stages:
            for table in (stage.code_tables, stage.mask_embedding, stage.part_embedding, stage.level_embedding):
                table.mul_(20.0)
            for bias in (stage.self_bias, stage.music_bias):
                bias.table.normal_()
            stage.out_tables.mul_(30.0)
    return tokenizer, stages[0], stages[1]


def toy(base: Path, num_parts: int = 1, levels: int = 3, unused: int = 0, guided: bool = True) -> Toy:
    """Networks and their bundle, built on the first call.

    Args:
        base: Folder that lasts as long as the tests run.
        num_parts: 1 (body, as shipped) or 3.
        levels: Q that are drawn, 2 or more.
        unused: Further levels of the tokenizer (the shipped bundle has some).
        guided: Whether scores without music are computed (not in the shipped bundle).
    """
    return _built(base, num_parts, levels, unused, guided)


@cache
def _built(base: Path, num_parts: int, levels: int, unused: int, guided: bool) -> Toy:
    from soulstream_export.bundle_writer import BundleFacts, write_bundle

    tokenizer, mask, residual = toy_networks(num_parts, levels, unused)
    sampler = SAMPLER if guided else SAMPLER | {"guidance": 1.0, "residual_guidance": 1.0}
    facts = BundleFacts(
        "toy", "Random weights made by a test.", ("none",), sampler, CANDIDATES,
        not_generated=("hands", "face") if num_parts == 1 else (),
    )  # fmt: skip
    folder = write_bundle(base / f"toy_{num_parts}_{levels}_{unused}_{guided}", tokenizer, mask, residual, facts)
    return Toy(tokenizer, mask, residual, folder, facts.halves)


def beat_track(seconds: float, bpm: float = 120.0, seed: int = 0) -> NDArray[np.float32]:
    """Clicks on every beat over a held chord: [seconds * 48000] float32 mono."""
    samples = np.arange(round(seconds * SAMPLE_RATE))
    time_s = samples / SAMPLE_RATE
    generator = np.random.default_rng(seed)
    chord = sum(
        np.sin(2 * np.pi * pitch * time_s) for pitch in generator.choice([220.0, 277.2, 330.0, 440.0, 554.4], 2)
    )
    since_s = np.mod(time_s, 60.0 / bpm)
    click = generator.normal(size=samples.shape) * np.exp(-since_s / 0.02)
    return (0.05 * chord + 0.3 * click).astype(np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    """Nothing: [seconds * 48000] float32."""
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
