"""TensorRT-RTX with networks of all sizes: they compile for FP32 and mixed; on a GPU they give what ONNX Runtime gives.

The tests marked ``gpu`` also print how long a step takes: ``pytest -m gpu -s``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.bundle_files import add_graph
from fakes.toy_bundle import beat_track

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.agreement import TOLERANCES, CheckedBackend, example_inputs, largest_difference
from soulstream_engine.backends.base import Step
from soulstream_engine.backends.cuda_runtime import Cuda
from soulstream_engine.backends.plan_builder import FLAVOURS, PRECISIONS, TensorRt, build, compile_for, parse
from soulstream_engine.backends.plan_cache import PlanCache
from soulstream_engine.backends.plan_precision import halve_products
from soulstream_engine.backends.tensorrt import PlanReport, TensorRtBackend
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.errors import BackendError
from soulstream_engine.frames import Provenance
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.network import Network

trt = pytest.importorskip("tensorrt_rtx")
SIZES = ["toy", pytest.param("stage", marks=pytest.mark.slow), pytest.param("paper", marks=pytest.mark.slow)]
MOST_BYTES_PER_PLAN = 200_000_000
# Measured for paper size, SM 8.9: FP32 123 MB and mixed 78 MB for the mask stage, of 57 MB of stored weights.


@pytest.fixture(scope="module", params=SIZES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from soulstream_export.bundle_writer import write_bundle
    from soulstream_export.random_models import random_facts, random_networks

    folder = tmp_path_factory.mktemp("plans") / request.param
    return load_bundle(write_bundle(folder, *random_networks(request.param), random_facts(request.param)))


@pytest.fixture(scope="module")
def card() -> Cuda:
    try:
        return Cuda()
    except BackendError as error:
        pytest.skip(f"needs an NVIDIA GPU: {error.message}")


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest, card: Cuda) -> str:
    try:
        runtime = TensorRt(request.param)
    except BackendError as error:
        pytest.skip(error.message)
    try:
        build(runtime, parse(runtime, add_graph().SerializeToString(), "add", {}), "fp32", card.device.capability)
    except BackendError as error:
        if error.code != "BACKEND_GPU_UNSUPPORTED":
            raise
        pytest.skip(error.message)
    return str(request.param)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_graph_compiles(bundle: Bundle, precision: str) -> None:
    runtime = TensorRt("tensorrt-rtx")
    for spec in bundle.manifest.steps:
        plan = compile_for(runtime, bundle.graphs[spec.name], spec, precision, "8.9")
        assert 10_000 < len(plan) < MOST_BYTES_PER_PLAN


def test_mixed_precision_keeps_norms_softmax_and_scores_single(bundle: Bundle) -> None:
    runtime = TensorRt("tensorrt-rtx")
    kinds = trt.LayerType
    for spec in bundle.manifest.steps:
        network = parse(runtime, bundle.graphs[spec.name], spec.name, spec.sizes).network
        assert halve_products(trt, network) >= 2
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        products = [layer for layer in layers if layer.type in (kinds.MATRIX_MULTIPLY, kinds.EINSUM)]
        halved = [layer for layer in products if layer.get_output(0).dtype == trt.float16]
        guarded = [layer for layer in layers if layer.type in (kinds.NORMALIZATION, kinds.SOFTMAX, kinds.REDUCE)]
        assert {layer.get_output(0).dtype for layer in guarded} <= {trt.float32, trt.int64}
        assert {layer.get_input(0).dtype for layer in guarded} <= {trt.float32, trt.int64}
        assert all(layer.get_input(index).dtype == trt.float16 for layer in halved for index in (0, 1))
        scores = {"logits", "motion"} & {network.get_output(index).name for index in range(network.num_outputs)}
        if scores:
            assert len(halved) < len(products)


def test_every_operator_is_supported(bundle: Bundle) -> None:
    runtime = TensorRt("tensorrt-rtx")
    parser = trt.OnnxParser(trt.Builder(runtime.logger).create_network(1), runtime.logger)
    graphs = [onnx.load_from_string(data).graph for data in bundle.graphs.values()]
    used = {node.op_type for graph in graphs for node in graph.node}
    assert {operator for operator in used if not parser.supports_operator(operator)} == set()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gpu_gives_what_onnx_runtime_gives(
    bundle: Bundle, precision: str, card: Cuda, flavour: str, tmp_path: Path
) -> None:
    reports: list[PlanReport] = []
    cache = PlanCache(tmp_path / "plans")
    inner = TensorRtBackend(flavour, precision, cache=cache, on_plan=reports.append, cuda=card)
    started = time.perf_counter()
    checked = CheckedBackend(inner, open_backend(), TOLERANCES[precision])
    Network(bundle, checked)
    seconds = time.perf_counter() - started
    num_plans = len(reports)
    assert all(report.was_built for report in reports)
    sys.stdout.write(f"\n{checked.name}, {bundle.manifest.model_id}: {num_plans} plans in {seconds:.1f} s\n")
    for name, difference in checked.differences.items():
        spec = bundle.manifest.step(name)
        steps = [backend.load(bundle.graphs[name], name, spec) for backend in (inner, open_backend())]
        gpu_ms, cpu_ms = (_median_ms(step) for step in steps)
        sys.stdout.write(f"  {name}: {gpu_ms:.3f} ms, ONNX Runtime {cpu_ms:.3f} ms; differs by {difference:.1e}\n")
        for seed in (1, 2):  # another input than the one that was checked, so nothing is left over from that run
            inputs = example_inputs(spec, seed)
            gpu, cpu = (step.run(inputs) for step in steps)
            assert largest_difference(cpu, gpu) <= TOLERANCES[precision]
    assert not any(report.was_built for report in reports[num_plans:])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gpu_dances(bundle: Bundle, precision: str, card: Cuda, flavour: str, tmp_path: Path) -> None:
    backend = TensorRtBackend(flavour, precision, cache=PlanCache(tmp_path / "plans"), cuda=card)
    music = beat_track(6.0)
    stream = DanceStream(bundle, 1, backend=backend)
    frames = stream.push(music)
    assert len(frames) == len(DanceStream(bundle, 1).push(music))
    assert sum(frame.provenance is Provenance.GENERATED for frame in frames) > 60
    assert stream.bad_chunks == 0
    sys.stdout.write(f"\n{backend.name}: tick of {np.median(stream.tick_ms):.1f} ms\n")


def _median_ms(step: Step, repeats: int = 50) -> float:
    inputs = example_inputs(step.spec)
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        step.run(inputs)
        taken.append(time.perf_counter() - started)
    return 1e3 * float(np.median(taken))
