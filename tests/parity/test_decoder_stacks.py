"""The paper's stack can be frozen like the folded one: its decoder in ONNX Runtime, tick by tick, is the whole clip."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch

from soulstream_export.graph import export_graph
from soulstream_export.steps import DecoderStep
from soulstream_training.models.hrvq import Hrvq, toy_config

TOLERANCE = 1e-5  # measured 1e-7
PLANNED, COMMIT = 3, 2


def test_ticks_of_the_frozen_decoder_equal_the_whole_clip() -> None:
    torch.manual_seed(0)
    model = Hrvq(toy_config(stack="conv", smoother="learned", levels=2)).eval()
    torch.nn.init.normal_(model.decoder.smoother.widen.weight, std=0.3)
    for book in model.quantizer.books[0]:
        book.codes.normal_()
    step = DecoderStep(model, model.config.levels).eval()
    codes = torch.randint(model.config.num_codes, (1, 1, 4 * COMMIT + PLANNED, model.config.levels))
    states = {f"state_{i}": state for i, state in enumerate(step.initial_states(1))}
    example = {"codes": codes[:, :, :PLANNED], "kept": torch.tensor([COMMIT]), **states}
    outputs = ["motion", "pace", *(f"next_{name}" for name in states)]
    graph = export_graph(step, tuple(example.values()), list(example), outputs)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    fed = {name: state.numpy() for name, state in states.items()}
    motion = []
    for start in range(0, 4 * COMMIT, COMMIT):
        given = codes[:, :, start : start + PLANNED].numpy()
        found = session.run(outputs, {"codes": given, "kept": np.array([COMMIT]), **fed})
        fed = dict(zip(states, found[2:], strict=True))
        motion.append(found[0][:, : 4 * COMMIT])
    with torch.no_grad():
        whole = model.detokenize(codes)[0].numpy()
    assert np.abs(np.concatenate(motion, 1) - whole[:, : 16 * COMMIT]).max() < TOLERANCE
