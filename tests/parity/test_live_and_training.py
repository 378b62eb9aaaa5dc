"""The stream as it plays (token window, cache, ONNX Runtime) scores codes as the one big forward of training does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from fakes.toy_bundle import CANDIDATES, Toy
from numpy.typing import NDArray

from soulstream_engine.bundle import load_bundle
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.runtime.network import Network, sampler_settings, window_shape
from soulstream_engine.sampling.window import FOR_ONE, STAGES, TokenWindow
from soulstream_training.models.window import training_layout
from soulstream_training.recipes.magm import window_logits
from soulstream_training.recipes.paired import Batch, PairedSampler

TOLERANCE = 1e-3  # measured 2e-5; logits are of order 10
CLEAN = 12


class Material(PairedSampler):
    """Music without motion: what a window shows does not need any."""

    def __init__(self, toy: Toy, features: NDArray[np.float32]) -> None:
        self.geometry, self.clean, self.features = toy.mask.config.geometry, CLEAN, features


class Listener:
    """The bundle's network, remembering the scores of each unmasking round and level."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.scores: list[tuple[str, dict[str, NDArray[Any]], NDArray[Any]]] = []

    def run(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        out = self.network.run(name, inputs)
        stage = name.removesuffix(FOR_ONE)
        if stage in STAGES and not inputs["committing"][0]:
            self.scores.append((stage, {key: np.array(value) for key, value in inputs.items()}, out["logits"]))
        return out


def test_scores_of_every_tick_round_and_level(networks: Toy) -> None:
    bundle = load_bundle(networks.folder)
    features = np.random.default_rng(0).normal(size=(200, NUM_FEATURES)).astype(np.float32)
    features[:, COLUMNS["heard"]] = 1.0
    material = Material(networks, features)
    geometry = material.geometry
    # The clip begins where the first tick's oldest new token begins: live and training know the same music.
    first = np.array([(geometry.commit + geometry.fresh_past) * 4])
    fresh = material._fresh(first, np.array([2]))
    bank, bank_valid = material._bank(first, np.array([0]), np.array([True]))

    listener = Listener(Network(bundle))
    window = TokenWindow(window_shape(bundle.manifest), listener.run, 3, sampler_settings(bundle.manifest))
    times = material.bank_times().tolist()
    per_tick, committed = [], []
    for number, start in enumerate(material.tick_starts().tolist()):
        old = [times.index(start - geometry.fresh_past - geometry.commit + slot) for slot in range(geometry.commit)]
        rows = np.concatenate([bank[0, old], fresh[0, number]])
        exists = np.concatenate([bank_valid[0, old] > 0, np.ones(geometry.fresh, np.bool_)])
        listener.scores.clear()
        plans = window.plan(number, rows, exists)
        chosen = plans[number % len(plans)]
        window.commit(chosen)
        committed.append(chosen[:, : geometry.commit])
        per_tick.append(list(listener.scores))
    stream = np.concatenate(committed, axis=1).transpose(1, 0, 2)[None]  # [1, L, P, Q]

    parts, levels = networks.mask.config.num_parts, networks.mask.config.levels
    codes = torch.zeros(1, CLEAN + geometry.planned, parts, levels, dtype=torch.long)
    codes[:, :CLEAN] = torch.from_numpy(stream[:, :CLEAN])
    heard = (torch.from_numpy(array) for array in (bank, bank_valid, fresh))
    batch = Batch(codes, torch.ones(codes.shape[:2]), *heard, torch.ones(1))
    stages = {"mask": networks.mask, "residual": networks.residual}
    checked = 0
    for number, scores in enumerate(per_tick):
        layout = training_layout(CLEAN, torch.tensor([number * geometry.commit]), geometry, parts)
        planned = layout.block >= 0
        shown = codes[:, layout.time, layout.part]
        seen = torch.ones(shown.shape)
        for name, inputs, logits, plan in (
            (*score, plan) for score in scores for plan in range(len(score[1]["codes"]))
        ):
            shown[:, planned] = torch.from_numpy(inputs["codes"][plan])
            seen[:, planned] = torch.from_numpy(inputs["level_seen"][plan])
            level = torch.from_numpy(inputs["level"])
            for half, keep in enumerate((1.0, 0.0)[: networks.halves]):
                batch.keep.fill_(keep)
                with torch.no_grad():
                    expected = window_logits(stages[name], material, batch, shown, seen, layout, level)[0, planned]
                assert np.abs(expected.numpy() - logits[half, plan]).max() < TOLERANCE, (number, name, half, plan)
                checked += 1
    settings = sampler_settings(bundle.manifest)
    plans = 1 + CANDIDATES * (settings.iterations - 1 + levels - 1)  # all are one in the first round
    assert checked == networks.halves * len(per_tick) * plans
