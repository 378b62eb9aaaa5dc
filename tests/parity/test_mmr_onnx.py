"""ONNX Runtime says of music and of dances what torch says, a window at a time and live."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from fakes.toy_mmr import ToyStyle, toy_style
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend
from soulstream_engine.errors import BackendError
from soulstream_engine.style_model import ENCODERS, LATENT, EncoderName, load_music_style, read_style_model
from soulstream_export.mmr import FRAMES, latent_parity, random_rows
from soulstream_training.models.mmr import LatentEncoder

TOLERANCE = 1e-4  # of unit latents; measured 1e-7


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyStyle:
    return toy_style(tmp_path_factory.getbasetemp())


def encoder_of(toy: ToyStyle, name: EncoderName) -> LatentEncoder:
    return toy.model.motion if name == "motion" else toy.model.music


def by_torch(encoder: LatentEncoder, rows: torch.Tensor) -> NDArray[np.float32]:
    with torch.no_grad():
        return torch.nn.functional.normalize(encoder(rows).mu, dim=-1).numpy()


@pytest.mark.parametrize("windows", [1, 2, 5, 200])
@pytest.mark.parametrize("name", ENCODERS)
def test_any_number_of_windows(toy: ToyStyle, name: EncoderName, windows: int) -> None:
    exported = read_style_model(toy.folder)
    rows = random_rows(encoder_of(toy, name), windows, FRAMES, seed=100 + windows)
    step = OnnxRuntimeBackend().load(exported.graphs[name], name, exported.manifest.signature(name, windows))
    found = step.run({name: rows.numpy()})[LATENT]
    unit = found / np.linalg.norm(found, axis=-1, keepdims=True)
    assert np.abs(unit - by_torch(encoder_of(toy, name), rows)).max() <= TOLERANCE


def test_live_music_lies_where_the_whole_window_lies(toy: ToyStyle) -> None:
    style = load_music_style(toy.folder)
    rows = random_rows(toy.model.music, 1, 2 * FRAMES, seed=3)
    for number, row in enumerate(rows[0].numpy(), 1):
        style.push(row[None])
        if number < FRAMES:
            assert style.embedding() is None
        elif number % 37 == 0 or number == FRAMES:
            found = style.embedding()
            assert found is not None
            assert found.dtype == np.float32
            assert np.abs(found - by_torch(toy.model.music, rows[:, number - FRAMES : number])[0]).max() <= TOLERANCE


@pytest.mark.parametrize("name", ENCODERS)
def test_graphs_are_self_contained_and_weights_take_two_bytes_each(toy: ToyStyle, name: EncoderName) -> None:
    data = read_style_model(toy.folder).graphs[name]
    model = onnx.load_from_string(data)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in model.graph.initializer)
    weights = sum(weight.numel() for weight in encoder_of(toy, name).parameters())
    assert len(data) < 3 * weights + 30_000


@pytest.mark.parametrize("name", ENCODERS)
def test_a_damaged_weight_is_noticed(toy: ToyStyle, name: EncoderName) -> None:
    data = read_style_model(toy.folder).graphs[name]
    encoder, width = encoder_of(toy, name), toy.model.config.width
    assert latent_parity(name, encoder, data, FRAMES, width) <= TOLERANCE
    model = onnx.load_from_string(data)
    weight = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    values = numpy_helper.to_array(weight).copy()
    values.flat[::7] += 0.01
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(BackendError, match=f"'{name}' differs by .* limit 0.0001"):
        latent_parity(name, encoder, model.SerializeToString(), FRAMES, width)
