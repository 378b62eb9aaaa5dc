"""The torch networks of a bundle, built anew from its manifest and from the weights that its graphs hold.

What torch computes with them is what every backend is compared with. Graphs keep weights under the names of the module
(``graph``); sizes follow from the manifest and from the shapes of the weights. Not for: the encoders of the tokenizer,
which no graph holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from soulstream_engine.bundle import Bundle
from soulstream_engine.errors import BundleError
from soulstream_engine.manifest import Manifest, StepSpec
from soulstream_engine.sampling.dancer import DECODER_STEP
from soulstream_engine.sampling.window import FOR_ONE, STAGES, Arrays
from soulstream_training.models.hrvq import Hrvq, HrvqConfig
from soulstream_training.models.hrvq_config import SmootherKind, Stack
from soulstream_training.models.magm import Magm, MagmConfig
from soulstream_training.models.smoothers import SMOOTHER_TAPS

from .graph import HALF_ENDING
from .steps import DecoderStep, MusicStep, StageStep

_KERNEL = 3
"""Taps of every dilated convolution of the decoder."""


class TorchReference:
    """The steps of a bundle in torch, FP32, on one thread.

    Args:
        bundle: Verified bundle whose arithmetic is float32.

    Raises:
        BundleError: If its weights cannot be read back: it computes in int8, or was exported before graphs kept names.
    """

    name = f"torch {torch.__version__}"

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        if manifest.arithmetic != "float32":
            raise BundleError(
                "REFERENCE_WEIGHTS",
                f"Bundle '{bundle.path}' computes in {manifest.arithmetic}; its graphs do not hold the weights.",
                "Name the bundle it was made from with --reference.",
            )
        weights = {name: _weights_of(bundle.graphs[name]) for name in ("music", *STAGES, DECODER_STEP)}
        mask, residual = (_stage(manifest, number, weights) for number in range(len(STAGES)))
        halves = _shape(manifest.step("mask"), "past_k")[0]
        music = MusicStep(mask, residual, halves)
        stages = {"mask": StageStep(mask), "residual": StageStep(residual)}
        self._modules: dict[str, nn.Module] = {"music": music, DECODER_STEP: _decoder(manifest, weights[DECODER_STEP])}
        self._modules |= stages | {name + FOR_ONE: module for name, module in stages.items()}
        self._specs = {spec.name: spec for spec in manifest.steps}
        for module in self._modules.values():
            module.eval().requires_grad_(False)

    def run(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one step by name (``sampling.window.RunStep``)."""
        spec = self._specs[name]
        given = [torch.from_numpy(inputs[tensor.name].copy()) for tensor in spec.inputs]
        with torch.inference_mode():
            outputs = self._modules[name](*given)
        return {tensor.name: value.numpy() for tensor, value in zip(spec.outputs, outputs, strict=True)}


def _weights_of(graph: bytes) -> dict[str, Tensor]:
    """Constants of a graph by name, float16 ones as float32."""
    found = {}
    for constant in onnx.load_from_string(graph).graph.initializer:
        value = torch.from_numpy(numpy_helper.to_array(constant).copy())
        found[constant.name.removesuffix(HALF_ENDING)] = value.float() if value.is_floating_point() else value
    return found


def _stage(manifest: Manifest, number: int, weights: Mapping[str, dict[str, Tensor]]) -> Magm:
    """One stage of the sampler from its own graph and from that of the music."""
    name = STAGES[number]
    own = _below(weights[name], "stage.") | _below(weights["music"], f"stages.{number}.")
    sampler, spec = manifest.sampler, manifest.step(name)
    config = MagmConfig(
        first_level=number,
        num_parts=len(manifest.representation.parts),
        levels=manifest.tokenizer.levels,
        num_codes=manifest.tokenizer.codes,
        num_features=len(manifest.features.names),
        width=len(_named(own, "mask_embedding", name)),
        layers=_count(own, "blocks."),
        heads=_shape(spec, "past_k")[2],
        hidden=len(_named(own, "blocks.0.feed.0.bias", name)),
        context=sampler.context_tokens,
        planned=sampler.planned_tokens,
        commit=sampler.commit_tokens,
        fresh_past=sampler.fresh_past_tokens,
    )
    stage = Magm(config)
    unused = {"level_embedding"} if config.levels_out == 1 else set()
    _load(stage, own, name, unused)
    return stage


def _decoder(manifest: Manifest, weights: dict[str, Tensor]) -> DecoderStep:
    """Tables, decoder and smoother; the rest of the tokenizer is left as torch made it."""
    own = _below(weights, "decoder.")
    stack: Stack = "folded" if _count(own, "stack.blocks.") else "conv"
    blocks = _count(own, "stack.blocks." if stack == "folded" else "stacks.0.blocks.")
    memories = [tensor.shape for tensor in manifest.step(DECODER_STEP).inputs if tensor.name.startswith("state_")]
    is_learned = "smoother.narrow.weight" in own
    plain: SmootherKind = "binomial" if memories[-2][1] == len(SMOOTHER_TAPS) - 1 else "none"
    parts, num_codes = manifest.representation.parts, manifest.tokenizer.codes
    tables = _named(weights, "tables", DECODER_STEP)
    config = HrvqConfig(
        parts=parts,
        part_dims=tuple(manifest.representation.feature_dims[part] for part in parts),
        width=len(_named(own, "enter.taps.bias", DECODER_STEP)),
        code_dim=tables.shape[-1],
        num_codes=num_codes,
        levels=manifest.tokenizer.levels,
        dilations=tuple(shape[2] // (_KERNEL - 1) for shape in memories[1 : 1 + blocks]),
        stack=stack,
        smoother="learned" if is_learned else plain,
    )
    tokenizer = Hrvq(config)
    _load(tokenizer.decoder, own, DECODER_STEP)
    tokenizer.mean.copy_(_named(weights, "tokenizer.mean", DECODER_STEP))
    tokenizer.std.copy_(_named(weights, "tokenizer.std", DECODER_STEP))
    step = DecoderStep(tokenizer, manifest.tokenizer.levels)
    step.tables = tables
    return step


def _load(module: nn.Module, weights: dict[str, Tensor], step: str, unused: set[str] | None = None) -> None:
    """Give a module its weights: all of them, but for those that the step does not use."""
    state = module.state_dict()
    for name in state.keys() - (unused or set()):
        found = _named(weights, name, step)
        if found.shape != state[name].shape:
            raise _unreadable(step, f"weight {name!r} is {list(found.shape)}, not {list(state[name].shape)}")
        state[name] = found
    module.load_state_dict(state)


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow ``prefix`` in the names."""
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})


def _named(weights: Mapping[str, Tensor], name: str, step: str) -> Tensor:
    if name not in weights:
        raise _unreadable(step, f"no weight {name!r}")
    return weights[name]


def _shape(spec: StepSpec, name: str) -> tuple[int, ...]:
    return next(tensor.shape for tensor in spec.inputs if tensor.name == name)


def _unreadable(step: str, problem: str) -> BundleError:
    return BundleError(
        "REFERENCE_WEIGHTS",
        f"The torch networks cannot be built from the graph of step {step!r}: {problem}.",
        "Export the bundle again with soulstream-export; older graphs do not keep the names of weights.",
    )
