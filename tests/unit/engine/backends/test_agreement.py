"""The two examples on which backends are compared: what a tick draws and what it commits, and nothing out of range."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.toy_bundle import toy

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.agreement import example_inputs
from soulstream_engine.bundle import Bundle, load_bundle


@pytest.fixture(scope="module", params=[(1, 3), (2, 2)], ids=["one part", "two parts"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(toy(tmp_path_factory.getbasetemp(), *request.param).folder)


def test_every_step_takes_both_examples(bundle: Bundle) -> None:
    for spec in bundle.manifest.steps:
        step = open_backend().load(bundle.graphs[spec.name], spec.name, spec)
        for seed in (0, 1):
            outputs = step.run(example_inputs(spec, seed))
            assert all(np.isfinite(array).all() for array in outputs.values())


def test_a_stage_draws_the_last_level_and_commits_the_first(bundle: Bundle) -> None:
    levels, codes = bundle.manifest.tokenizer.levels, bundle.manifest.tokenizer.codes
    for name, last in (("mask", 0), ("residual", levels - 2), ("residual_one", levels - 2)):
        drawing, committing = (example_inputs(bundle.manifest.step(name), seed) for seed in (0, 1))
        assert [float(inputs["committing"][0]) for inputs in (drawing, committing)] == [0.0, 1.0]
        assert [int(inputs["level"][0]) for inputs in (drawing, committing)] == [last, 0]
        for valid in ("past_valid", "music_valid"):
            slots = len(drawing[valid])
            np.testing.assert_array_equal(drawing[valid], np.arange(slots) >= slots // 2)
            assert committing[valid].all()
        for inputs in (drawing, committing):
            assert inputs["codes"].dtype == np.int64
            assert 0 <= inputs["codes"].min() < inputs["codes"].max() < codes


def test_the_decoder_keeps_one_token_and_all_of_them(bundle: Bundle) -> None:
    spec = bundle.manifest.step("decoder")
    kept = [int(example_inputs(spec, seed)["kept"][0]) for seed in (0, 1)]
    assert kept == [1, bundle.manifest.sampler.planned_tokens]
    codes = example_inputs(spec)["codes"]
    assert 0 <= codes.min() < codes.max() < 8
