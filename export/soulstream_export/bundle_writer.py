"""Weights to a bundle: four graphs, a manifest that says everything, and a check that the engine computes the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn

from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend
from soulstream_engine.bundle import MANIFEST_NAME, load_bundle, sha256_of
from soulstream_engine.errors import BackendError
from soulstream_engine.features.layout import FEATURE_NAMES
from soulstream_engine.manifest import Features as FeatureSpec
from soulstream_engine.manifest import (
    FileEntry,
    Manifest,
    Representation,
    Sampler,
    StateSpec,
    StepSpec,
    TensorSpec,
    Tokenizer,
)
from soulstream_engine.sampling.window import FOR_ONE
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, LOOK_AHEAD, Hrvq
from soulstream_training.models.magm import Magm

from .graph import export_graph, round_to_half, with_half_weights
from .steps import STAGES, DecoderStep, MusicStep, StageStep
from .whole_folder import refuse_other_folder, write_whole

PARITY_TOLERANCE = 2e-3
"""Largest difference between torch and ONNX Runtime, of outputs of order 10: float16 storage of the weights is compared
with the same rounding in torch, so only the order of additions differs (measured 2e-5)."""


PLANS = "plans"
"""Name of the dimension that stays open in the graphs of the two stages."""


@dataclass(frozen=True)
class BundleFacts:
    """What the networks cannot know about themselves.

    ``candidates`` plans are drawn side by side at every tick; ``documents`` are text files to put beside the graphs, by
    name: the model card.
    """

    model_id: str
    created_from: str
    notices: tuple[str, ...]
    sampler: dict[str, Any]
    candidates: int = 1
    metrics: dict[str, float] = field(default_factory=dict)
    not_generated: tuple[str, ...] = ("hands", "face")
    licence: str = "GPL-3.0-or-later"
    documents: dict[str, str] = field(default_factory=dict)

    @property
    def halves(self) -> int:
        """1 where no guidance needs scores without music, else 2."""
        return 1 if self.sampler.get("guidance", 1.0) == self.sampler.get("residual_guidance", 1.0) == 1.0 else 2


def example_inputs(
    tokenizer: Hrvq, mask: Magm, candidates: int, halves: int, seed: int = 0
) -> dict[str, dict[str, Tensor]]:
    """One random input of the right shape for every step, by step and name.

    Args:
        tokenizer: HRVQ.
        mask: Either stage.
        candidates: Plans drawn side by side.
        halves: 2 with an unconditional half for the guidance, else 1.
        seed: Of the inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    config, geometry = mask.config, mask.config.geometry
    width = config.width // config.heads
    positions = geometry.planned * config.num_parts
    lead = (halves, config.layers, config.heads)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    past, music = (*lead, geometry.context * config.num_parts, width), (*lead, geometry.music, width)
    stage = {
        "codes": torch.randint(config.num_codes, (candidates, positions, config.levels), generator=generator),
        "level_seen": (normal(candidates, positions, config.levels) > 0).float(),
        "level": torch.zeros(1, dtype=torch.long),
        "committing": torch.zeros(1),
        "past_k": normal(*past),
        "past_v": normal(*past),
        "past_valid": torch.ones(geometry.context),
        "music_k": normal(*music),
        "music_v": normal(*music),
        "music_valid": torch.ones(geometry.music),
        "aligned": normal(halves, geometry.planned, config.width),
    }
    plans = (candidates, config.num_parts, geometry.planned, config.levels)
    decoder = {"codes": torch.randint(config.num_codes, plans, generator=generator)}
    decoder["kept"] = torch.tensor([config.commit])
    states = DecoderStep(tokenizer, config.levels).initial_states(candidates)
    states[-1] = tokenizer.mean.expand_as(states[-1])  # a body; zeros are none
    decoder |= {f"state_{i}": state for i, state in enumerate(states)}
    rows = normal(geometry.commit + geometry.fresh, FRAMES_PER_TOKEN, config.num_features)
    return {"music": {"rows": rows}, "mask": stage, "residual": stage, "decoder": decoder}


def write_bundle(folder: Path, tokenizer: Hrvq, mask: Magm, residual: Magm, facts: BundleFacts) -> Path:
    """Export, verify and write a bundle.

    Args:
        folder: Where it goes; replaced as a whole when everything has succeeded.
        tokenizer: Trained HRVQ.
        mask: Trained mask stage.
        residual: Trained residual stage. The weights of all three are rounded to what the bundle stores.
        facts: The rest of the manifest.

    Returns:
        ``folder``.

    Raises:
        BackendError: If ONNX Runtime does not give what torch gives.
        ConfigError: If ``folder`` holds files that are no bundle.
    """
    refuse_other_folder(folder, MANIFEST_NAME, "bundle")
    for network in (tokenizer, mask, residual):
        network.eval()
        round_to_half(network)
    modules: dict[str, nn.Module] = {
        "music": MusicStep(mask, residual, facts.halves),
        "mask": StageStep(mask),
        "residual": StageStep(residual),
        "decoder": DecoderStep(tokenizer, mask.config.levels),
    }
    examples = example_inputs(tokenizer, mask, facts.candidates, facts.halves)
    several = example_inputs(tokenizer, mask, max(facts.candidates, 2), facts.halves)  # a size of 1 would not stay open
    alone = example_inputs(tokenizer, mask, 1, facts.halves)
    num_states = len(examples["decoder"]) - 2
    outputs = {
        "music": [f"{stage}_{kind}" for stage in STAGES for kind in ("tokens", "k", "v")],
        "mask": ["logits", "new_k", "new_v"],
        "residual": ["logits", "new_k", "new_v"],
        "decoder": ["motion", "pace", *(f"next_state_{i}" for i in range(num_states))],
    }
    graphs: dict[str, bytes] = {}
    specs: list[StepSpec] = []
    for name, module in modules.items():
        is_stage = name in STAGES
        example = several[name] if is_stage else examples[name]
        open_sizes = dict.fromkeys(("codes", "level_seen"), PLANS) if is_stage else None
        model = export_graph(module, tuple(example.values()), list(example), outputs[name], open_sizes)
        graphs[name] = with_half_weights(model).SerializeToString()
        for ending, inputs in (("", examples), (FOR_ONE, alone))[: 2 if is_stage else 1]:
            sizes = {PLANS: len(inputs[name]["codes"])} if is_stage else {}
            spec = _spec(name + ending, f"{name}.onnx", model, num_states if name == "decoder" else 0, sizes)
            check_parity(spec.name, module, graphs[name], spec, inputs[name], outputs[name])
            specs.append(spec)
    files = {f"{name}.onnx": data for name, data in graphs.items()}
    files |= {name: text.encode("utf-8") for name, text in facts.documents.items()}
    manifest = _manifest(tokenizer, mask, facts, files, specs)
    files[MANIFEST_NAME] = (json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n").encode("utf-8")
    write_whole(folder, files, load_bundle)
    return folder


def check_parity(
    name: str, module: nn.Module, graph: bytes, spec: StepSpec, example: dict[str, Tensor], outputs: list[str]
) -> float:
    """Largest difference between torch and ONNX Runtime on one input.

    Raises:
        BackendError: If it exceeds ``PARITY_TOLERANCE``.
    """
    with torch.no_grad():
        expected = module(*example.values())
    step = OnnxRuntimeBackend().load(graph, name, spec)
    found = step.run({key: value.numpy() for key, value in example.items()})
    worst = max(float(np.abs(found[key] - value.numpy()).max()) for key, value in zip(outputs, expected, strict=True))
    if not worst <= PARITY_TOLERANCE:
        raise BackendError(
            "PARITY", f"Step {name!r} differs by {worst:.2e} between torch and ONNX Runtime, limit {PARITY_TOLERANCE}.",
            "Do not ship this bundle; compare the graphs layer by layer.",
        )  # fmt: skip
    return worst


def _spec(name: str, file: str, model: onnx.ModelProto, num_states: int, sizes: dict[str, int]) -> StepSpec:
    types = {TensorProto.FLOAT: "float32", TensorProto.INT64: "int64"}

    def tensors(values: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                name=value.name,
                shape=tuple(sizes.get(dim.dim_param, dim.dim_value) for dim in value.type.tensor_type.shape.dim),
                dtype=types[value.type.tensor_type.elem_type],  # type: ignore[arg-type]
            )
            for value in values
        )

    states = tuple(StateSpec(input=f"state_{i}", output=f"next_state_{i}") for i in range(num_states))
    return StepSpec(
        name=name,
        file=file,
        sizes=sizes,
        inputs=tensors(model.graph.input),
        outputs=tensors(model.graph.output),
        states=states,
    )


def _manifest(
    tokenizer: Hrvq, mask: Magm, facts: BundleFacts, files: dict[str, bytes], specs: list[StepSpec]
) -> Manifest:
    hrvq, config = tokenizer.config, mask.config
    return Manifest(
        schema_version=1,
        model_id=facts.model_id,
        licence=facts.licence,
        created_from=facts.created_from,
        files={name: FileEntry(sha256=sha256_of(data), bytes=len(data)) for name, data in files.items()},
        representation=Representation(
            parts=hrvq.parts,  # type: ignore[arg-type]
            rot_source="local",
            face_space="arkit52",
            feature_dims=dict(zip(hrvq.parts, hrvq.part_dims, strict=True)),  # type: ignore[arg-type]
            not_generated=facts.not_generated,  # type: ignore[arg-type]
        ),
        features=FeatureSpec(names=tuple(FEATURE_NAMES)),
        tokenizer=Tokenizer(
            levels=config.levels,
            codes=hrvq.num_codes,
            frames_per_token=FRAMES_PER_TOKEN,
            look_ahead_frames=LOOK_AHEAD,
        ),
        sampler=Sampler(
            context_tokens=config.context,
            planned_tokens=config.planned,
            commit_tokens=config.commit,
            fresh_past_tokens=config.fresh_past,
            **facts.sampler,
        ),
        steps=tuple(specs),
        metrics=facts.metrics,
        notices=facts.notices,
    )
