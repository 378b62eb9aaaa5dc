"""GPT: a causal transformer that draws the codes of a VQ tokenizer one after the other, each with its music.

A token is four frames. What it reads is the code before it and its own four rows of music; what it draws is its own
code. The tokenizer is frozen and not part of the weights: these say for which codes they are good.
Source: Bailando, "3D Dance Generation by Actor-Critic GPT with Choreographic Memory" (Siyao et al., CVPR 2022),
without its split of the body in halves and its actor-critic; the blocks are those of our sampler.

Letters: B batch, T frames, D motion columns (675), F music columns, W width, N tokens, K codes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_training.models.attention import Block, RelativeBias
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, LOOK_AHEAD, Hrvq
from soulstream_training.models.quantizer import codes_id
from soulstream_training.models.window import HIDDEN
from soulstream_training.recipes.hrvq import load_hrvq, trained_on

from .common import F32, BaselineRecipe, Danced, Normalised, load_baseline, train_baseline

NAME = "gpt"
KIND = "vq512"
"""Tokenizer whose codes are drawn; its columns are ``COLUMNS``."""
COLUMNS = "arkit52"
WIDTH = 192
WINDOW = 40
"""Tokens that are read at once when dancing (ours): 5.3 s, about as many as a window of training has."""
FARTHEST = 31
"""Tokens that lie further back than this are told apart by what they say alone; training sees no more of them (ours).
"""
SETTLING = 4
"""Tokens that the tokenizer needs after a start from nothing. Measured: codes of a window and of the whole stretch are
the same for 37 % of first tokens and 73 % of fifth ones."""
RANDOM_SHARE = 0.1
"""Codes read in training that are random ones, so that a strange code is not followed by stranger ones (ours)."""


class Gpt(Normalised):
    """Codes so far and music in, odds of the next codes out.

    Args:
        codes: Name of the codes it speaks (``codes_id``); weights for others are refused.
        num_codes: K.
        motion_dim: D of the tokenizer.
        music_dim: F.
        width: W.
        layers: Blocks.
        heads: Of attention; must divide W.
        dropout: Of the residual branches and of what is read.
    """

    def __init__(
        self,
        codes: str,
        num_codes: int = 512,
        motion_dim: int = 675,
        music_dim: int = 50,
        width: int = WIDTH,
        layers: int = 4,
        heads: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(motion_dim, music_dim)
        self.codes = codes
        self.num_codes = num_codes
        self.read = nn.Embedding(num_codes + 1, width)  # the last one starts a window
        self.hear = nn.Linear(FRAMES_PER_TOKEN * music_dim, width)
        self.blocks = nn.ModuleList(Block(width, heads, 3 * width, dropout) for _ in range(layers))
        self.self_bias = RelativeBias(heads, 0, FARTHEST)
        self.music_bias = RelativeBias(heads, 0, FARTHEST)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_codes))
        self.drop = nn.Dropout(dropout)

    def get_extra_state(self) -> Tensor:
        """Name of the codes, as bytes: it goes where the weights go."""
        return torch.tensor(list(self.codes.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuses weights of other codes.

        Raises:
            ConfigError: If they are.
        """
        found = bytes(state.tolist()).decode()
        if found != self.codes:
            raise ConfigError(
                "CODES_CHANGED",
                f"'{NAME}' was trained on codes {found}, the tokenizer has {self.codes}.",
                "Train it again, with another folder for --runs.",
            )

    def forward(self, codes: Tensor, music: Tensor) -> Tensor:
        """Scores of every code.

        Args:
            codes: [B, N - 1] int64, all but the last of the window.
            music: [B, 4 N, F] feature rows of the window.

        Returns:
            [B, N, K] float32; those of a token do not depend on codes from its own on, nor on music after it.
        """
        heard = self.hear(self.music_in(music).unflatten(1, (-1, FRAMES_PER_TOKEN)).flatten(2))
        before = torch.cat([codes.new_full((len(codes), 1), self.num_codes), codes], dim=1)
        x = self.drop(self.read(before) + heard)
        time = torch.arange(before.shape[1])
        distance = time[:, None] - time
        future = torch.where(distance < 0, HIDDEN, 0.0)
        bias, music_bias = self.self_bias(distance) + future, self.music_bias(distance) + future
        for block in self.blocks:
            x, _ = block(x, None, bias[None], block.attend_music.project(heard), music_bias[None])  # type: ignore[union-attr, operator]
        return self.head(x).float()


def gpt_for(tokenizer: Hrvq, width: int = WIDTH) -> Gpt:
    """A fresh network for the codes of a tokenizer with one part and one level."""
    codes = codes_id(tokenizer.quantizer.tables)
    return Gpt(codes, tokenizer.config.num_codes, sum(tokenizer.config.part_dims), width=width)


def gpt_loss(network: Gpt, tokenizer: Hrvq, motion: Tensor, music: Tensor, generator: torch.Generator) -> Tensor:
    """Cross-entropy of the codes of a batch.

    Args:
        network: In training.
        tokenizer: In evaluation mode.
        motion: [B, T, D] rows; those that do not fill a token are left out.
        music: [B, T, F] feature rows of the same frames.
        generator: Randomness.

    Returns:
        Scalar.
    """
    used = motion.shape[1] // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
    with torch.autocast("cpu", enabled=False):  # the codes are those of float32
        truth = tokenizer.tokenize(motion[:, :used])[:, 0, SETTLING:, 0]
    is_random = torch.rand(truth.shape, generator=generator) < RANDOM_SHARE
    noise = torch.randint(network.num_codes, truth.shape, generator=generator)
    scores = network(torch.where(is_random, noise, truth)[:, :-1], music[:, SETTLING * FRAMES_PER_TOKEN : used])
    return F.cross_entropy(scores.flatten(0, 1), truth.flatten())


def rows_of(tokenizer: Hrvq, codes: Tensor, frames: int) -> F32:
    """Motion of drawn codes.

    Args:
        tokenizer: In evaluation mode.
        codes: [N] int64; the first ``SETTLING`` of them lie before the first row.
        frames: How many rows are wanted; 4 (N - SETTLING) - LOOK_AHEAD at most.

    Returns:
        [frames, D], without the delay of the decoder.
    """
    rows, _ = tokenizer.detokenize(codes[None, None, :, None])
    first = SETTLING * FRAMES_PER_TOKEN + LOOK_AHEAD
    return rows[0, first : first + frames].numpy()


class GptDancer:
    """Dances with trained weights.

    Args:
        weights: Folder with ``gpt.safetensors``.
        tokenizers: Folder with ``vq512.safetensors``; ``None`` is ``tokenizers`` in ``weights``.
        temperature: Of the draw.
        top_k: So many of the likeliest codes are drawn from.
        width: W of the network that was trained.

    Raises:
        ConfigError: If weights are missing, or the tokenizer has other codes than those that were learned.
    """

    wait_s: float = (FRAMES_PER_TOKEN - 1 + LOOK_AHEAD) / FPS
    """A frame that is the last but one of its token waits, in the decoder, for the next token, and that for its music.
    """

    def __init__(
        self,
        weights: Path,
        tokenizers: Path | None = None,
        temperature: float = 1.0,
        top_k: int = 50,
        width: int = WIDTH,
    ) -> None:
        self.tokenizer = load_hrvq(tokenizers or weights / "tokenizers", KIND)
        self.network = gpt_for(self.tokenizer, width)
        load_baseline(self.network, weights, NAME)
        self.temperature, self.top_k = temperature, min(top_k, self.network.num_codes)

    @torch.no_grad()
    def dance(self, music: F32, seed: int) -> Danced:
        """Dances to ``music`` [T, F]; before its beginning and after its end it is taken to stay as it is there."""
        generator = torch.Generator().manual_seed(seed)
        frames = len(music)
        tokens = SETTLING - (-(frames + LOOK_AHEAD) // FRAMES_PER_TOKEN)
        row = np.arange(tokens * FRAMES_PER_TOKEN) - SETTLING * FRAMES_PER_TOKEN
        heard = torch.from_numpy(music[np.clip(row, 0, frames - 1)])
        codes = torch.zeros(tokens, dtype=torch.long)
        for token in range(tokens):
            first = max(0, token + 1 - WINDOW)
            window = heard[first * FRAMES_PER_TOKEN : (token + 1) * FRAMES_PER_TOKEN]
            scores, known = self.network(codes[None, first:token], window[None])[0, -1].topk(self.top_k)
            odds = torch.softmax(scores / self.temperature, dim=0)
            codes[token] = known[torch.multinomial(odds, 1, generator=generator)]
        return Danced(rows_of(self.tokenizer, codes, frames))


def train_gpt(
    recipe: BaselineRecipe,
    store: Path,
    music: Path,
    runs: Path,
    weights: Path,
    tokenizers: Path,
    width: int = WIDTH,
) -> None:
    """Trains the GPT and writes ``gpt.*`` under ``weights``.

    Args:
        recipe: Settings.
        store: Prepared motion.
        music: Renderings made for it.
        runs: Folder of full checkpoints; a run there is resumed.
        weights: Where the averaged weights go.
        tokenizers: Folder with ``vq512.safetensors``.
        width: W.

    Raises:
        ConfigError: If there is nothing to learn from, it is tested on too, or the run was begun with other codes.
    """
    tokenizer = load_hrvq(tokenizers, KIND)
    torch.manual_seed(recipe.seed)
    network = gpt_for(tokenizer, width)

    def loss(motion: Tensor, heard: Tensor, generator: torch.Generator) -> Tensor:
        return gpt_loss(network, tokenizer, motion, heard, generator)

    before = trained_on(tokenizers, KIND)
    train_baseline(NAME, network, loss, recipe, store, music, runs, weights, COLUMNS, before)
