"""Loading a step: from the cache or compiled by the real TensorRT-RTX, for a card that is this computer's memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.host_cuda import HostContext, HostCuda
from fakes.toy_bundle import toy

from soulstream_engine.backends import open_backend, tensorrt
from soulstream_engine.backends.agreement import CheckedBackend
from soulstream_engine.backends.cuda_runtime import Cuda
from soulstream_engine.backends.plan_builder import TensorRt
from soulstream_engine.backends.plan_cache import PlanCache
from soulstream_engine.backends.tensorrt import PlanReport, TensorRtBackend
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec
from soulstream_engine.runtime.network import Network

trt = pytest.importorskip("tensorrt_rtx")
DTYPES = {"float32": trt.float32, "int64": trt.int64}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(toy(tmp_path_factory.getbasetemp()).folder)


class Engine:
    """What TensorRT makes of a plan, with ONNX Runtime inside."""

    def __init__(self, bundle: Bundle, spec: StepSpec, driver: HostCuda) -> None:
        self._inputs = {tensor.name: tensor for tensor in spec.inputs}
        self._tensors = self._inputs | {tensor.name: tensor for tensor in spec.outputs}
        self._names = list(self._tensors)[::-1]  # TensorRT promises no order
        self._step = open_backend().load(bundle.graphs[spec.name], spec.name, spec)
        self._driver = driver
        self.num_io_tensors = len(self._names)
        self.strategy: Any = None

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def get_tensor_dtype(self, name: str) -> Any:
        return DTYPES[self._tensors[name].dtype]

    def get_tensor_mode(self, name: str) -> Any:
        return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

    def create_runtime_config(self) -> SimpleNamespace:
        return SimpleNamespace(cuda_graph_strategy=None)

    def create_execution_context(self, config: SimpleNamespace) -> HostContext:
        self.strategy = config.cuda_graph_strategy
        return HostContext(self._step, self._driver)


@pytest.fixture
def plans_read(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Replaces what needs a GPU: plans become engines above. Gives the plans that were read."""
    read: list[bytes] = []

    def deserialise(runtime: TensorRt, plan: bytes | memoryview, name: str) -> tuple[Any, Any]:
        read.append(bytes(plan))
        engine = Engine(bundle, bundle.manifest.step(name), DRIVERS[-1])
        ENGINES.append(engine)
        return None, engine

    monkeypatch.setattr(tensorrt, "deserialise", deserialise)
    return read


DRIVERS: list[HostCuda] = []
ENGINES: list[Engine] = []


def backend_in(folder: Path, reports: list[PlanReport], precision: str = "fp16") -> TensorRtBackend:
    DRIVERS.append(HostCuda())
    cuda = Cuda(DRIVERS[-1])
    return TensorRtBackend(
        "tensorrt-rtx", precision, cache=PlanCache(folder / "plans"), on_plan=reports.append, cuda=cuda
    )


def test_a_bundle_is_compiled_once_and_read_ever_after(bundle: Bundle, plans_read: list[bytes], tmp_path: Path) -> None:
    reports: list[PlanReport] = []
    for _ in range(2):
        checked = CheckedBackend(backend_in(tmp_path, reports), open_backend(), 1e-6)
        network = Network(bundle, checked)
        assert network.backend_name == f"tensorrt-rtx {trt.__version__} fp16 Card of a test"
    count = len(bundle.manifest.steps)
    assert [report.was_built for report in reports] == [True] * count + [False] * count
    assert {report.reason for report in reports} == {"there is no plan of it yet", ""}
    assert plans_read[:count] == plans_read[count:]
    assert all(report.num_bytes == len(plan) for report, plan in zip(reports, plans_read, strict=True))
    assert {engine.strategy for engine in ENGINES} == {trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE}


def test_another_precision_or_size_is_another_plan(bundle: Bundle, plans_read: list[bytes], tmp_path: Path) -> None:
    reports: list[PlanReport] = []
    for precision, name in (("fp16", "mask"), ("fp32", "mask"), ("fp32", "mask_one")):
        backend_in(tmp_path, reports, precision).load(bundle.graphs[name], name, bundle.manifest.step(name))
    assert [report.reason for report in reports] == [
        "there is no plan of it yet",
        "precision changed from 'fp16' to 'fp32'",
        "there is no plan of it yet",
    ]
    assert len(set(plans_read)) == 3


def test_a_tampered_plan_is_compiled_anew_and_never_read(
    bundle: Bundle, plans_read: list[bytes], tmp_path: Path
) -> None:
    reports: list[PlanReport] = []
    spec = bundle.manifest.step("music")
    backend_in(tmp_path, reports).load(bundle.graphs["music"], "music", spec)
    evil = b"code of somebody else"
    next((tmp_path / "plans").glob("*.plan")).write_bytes(evil)
    backend_in(tmp_path, reports).load(bundle.graphs["music"], "music", spec)
    assert evil not in plans_read
    assert reports[-1].was_built
    assert reports[-1].reason == "its plan was changed after it was written"


def test_a_plan_with_another_signature_is_refused(bundle: Bundle, plans_read: list[bytes], tmp_path: Path) -> None:
    spec = bundle.manifest.step("music")
    first = spec.outputs[0].model_copy(update={"shape": (1, 2, 3)})
    other = spec.model_copy(update={"outputs": (first, *spec.outputs[1:])})
    with pytest.raises(BackendError, match=r"the manifest says \[1, 2, 3\] float32"):
        backend_in(tmp_path, []).load(bundle.graphs["music"], "music", other)


def test_without_a_manifest_the_plan_tells_its_signature(
    bundle: Bundle, plans_read: list[bytes], tmp_path: Path
) -> None:
    step = backend_in(tmp_path, []).load(bundle.graphs["music"], "music")
    spec = bundle.manifest.step("music")
    assert sorted(tensor.name for tensor in step.spec.outputs) == sorted(tensor.name for tensor in spec.outputs)


def test_an_unknown_precision_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="Precision 'int4' is not known") as caught:
        backend_in(tmp_path, [], "int4")
    assert caught.value.hint == "Use fp16 or fp32."
