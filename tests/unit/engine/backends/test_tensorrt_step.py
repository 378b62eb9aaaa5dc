"""The code around the GPU, on a card that is this computer's memory: layout, copies, recording, errors."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from fakes.host_cuda import HostContext, HostCuda
from fakes.toy_bundle import toy

from soulstream_engine.backends.agreement import example_inputs, largest_difference
from soulstream_engine.backends.base import Arrays, Step
from soulstream_engine.backends.cuda_runtime import Cuda
from soulstream_engine.backends.onnx_runtime import OnnxRuntimeBackend
from soulstream_engine.backends.tensorrt import TensorRtStep
from soulstream_engine.bundle import load_bundle
from soulstream_engine.errors import BackendError


@pytest.fixture(scope="module", params=["music", "mask", "residual_one", "decoder"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Step:
    bundle = load_bundle(toy(tmp_path_factory.getbasetemp()).folder)
    spec = bundle.manifest.step(request.param)
    return OnnxRuntimeBackend().load(bundle.graphs[spec.name], spec.name, spec)


def on_card(reference: Step, *, record: bool = False) -> tuple[TensorRtStep, HostCuda, HostContext]:
    driver = HostCuda()
    context = HostContext(reference, driver)
    return TensorRtStep(reference.spec, (context,), Cuda(driver), record=record), driver, context


@pytest.mark.parametrize("record", [False, True], ids=["launched", "recorded"])
def test_every_tensor_arrives_where_the_network_reads_it(reference: Step, record: bool) -> None:
    step, _, _ = on_card(reference, record=record)
    for seed in range(2):
        inputs = example_inputs(reference.spec, seed)
        assert largest_difference(reference.run(inputs), step.run(inputs)) == 0.0


def test_outputs_of_one_call_survive_the_next(reference: Step) -> None:
    step, _, _ = on_card(reference)
    first = step.run(example_inputs(reference.spec, 0))
    kept = {name: array.copy() for name, array in first.items()}
    step.run(example_inputs(reference.spec, 1))
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_a_recorded_step_is_started_once_and_launched_ever_after(reference: Step) -> None:
    step, driver, context = on_card(reference, record=True)
    starts, launches = context.starts, driver.calls["cuGraphLaunch"]
    for seed in range(3):
        step.run(example_inputs(reference.spec, seed))
    assert context.starts == starts
    assert driver.calls["cuGraphLaunch"] == launches + 3


def test_only_arrays_that_cannot_change_are_not_sent_again(reference: Step) -> None:
    step, driver, _ = on_card(reference)
    inputs = example_inputs(reference.spec)
    largest = max(inputs, key=lambda name: inputs[name].nbytes)
    inputs[largest].flags.writeable = False
    step.run(inputs)
    driver.uploaded.clear()
    step.run(inputs)
    assert sum(driver.uploaded) < inputs[largest].nbytes + sum(a.nbytes for a in inputs.values()) / 2
    replaced = inputs | {largest: inputs[largest] * np.float32(0.5)}
    assert largest_difference(reference.run(replaced), step.run(replaced)) == 0.0
    replaced[largest] *= np.float32(0.5)  # the same array, written to
    assert largest_difference(reference.run(replaced), step.run(replaced)) == 0.0


def test_a_read_only_view_of_an_array_that_changes_is_sent_again(reference: Step) -> None:
    step, _, _ = on_card(reference)
    inputs = example_inputs(reference.spec)
    name = max(inputs, key=lambda key: inputs[key].nbytes)
    owner, view = inputs[name], inputs[name][:]
    view.flags.writeable = False
    inputs[name] = view
    step.run(inputs)
    owner *= np.float32(0.25)
    assert largest_difference(reference.run(inputs), step.run(inputs)) == 0.0


def test_all_memory_is_given_back(reference: Step) -> None:
    step, driver, _ = on_card(reference, record=True)
    assert len(driver.memory) == 4
    del step
    gc.collect()
    assert driver.memory == {}


def test_a_network_that_fails_is_our_error(reference: Step) -> None:
    step, _, context = on_card(reference)
    context.is_broken = True
    with pytest.raises(BackendError, match=f"Step '{reference.spec.name}' failed in TensorRT"):
        step.run(example_inputs(reference.spec))


def test_inputs_are_checked_before_the_card_sees_them(reference: Step) -> None:
    step, driver, _ = on_card(reference)
    driver.uploaded.clear()
    wrong: Arrays = {name: array[..., :0] for name, array in example_inputs(reference.spec).items()}
    with pytest.raises(BackendError, match="expected"):
        step.run(wrong)
    assert driver.uploaded == []


def test_the_card_is_described_as_its_plans_need_it() -> None:
    device = Cuda(HostCuda()).device
    assert (device.name, device.capability) == ("Card of a test", "8.9")
    assert "CUDA 13.0" in device.driver


def test_the_stream_has_the_highest_priority() -> None:
    assert Cuda(HostCuda()).stream == 1000 - 5


@pytest.mark.parametrize(
    ("driver", "code", "message"),
    [
        (HostCuda(num_devices=0), "BACKEND_NO_DEVICE", "shows no device, 1 is needed"),
        (HostCuda(fails={"cuInit": 3}), "BACKEND_CUDA", r"cuInit failed: unknown \(CUDA error 3\)"),
        (HostCuda(lacks=("cuDevicePrimaryCtxRetain",)), "BACKEND_DRIVER_OLD", "lacks cuDevicePrimaryCtxRetain"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_its_reason(driver: HostCuda, code: str, message: str) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        Cuda(driver)
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.exit_code == 4


def test_too_little_memory_is_said() -> None:
    cuda = Cuda(HostCuda(fails={"cuMemAlloc_v2": 2}))
    with pytest.raises(BackendError, match=r"cuMemAlloc_v2 failed: out of memory"):
        cuda.device_memory(1 << 40)


def test_a_recording_that_fails_ends() -> None:
    driver = HostCuda()
    cuda = Cuda(driver)

    def fail() -> None:
        raise BackendError("BACKEND_RUN", "It failed.", "")

    with pytest.raises(BackendError, match="It failed"):
        cuda.capture(fail)
    assert driver.calls["cuStreamEndCapture"] == 1
