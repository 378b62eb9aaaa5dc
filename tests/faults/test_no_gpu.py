"""No NVIDIA GPU, but a backend that needs one: every command says so, and dances on, or refuses when told to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes.command import Result, run_here, run_process
from fakes.toy_bundle import beat_track, toy

from soulstream_engine.backends import open_backend, tensorrt
from soulstream_engine.backends.cuda_runtime import Cuda
from soulstream_engine.backends.plan_builder import TensorRt, compile_for
from soulstream_engine.bundle import load_bundle
from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.errors import BackendError

pytest.importorskip("tensorrt_rtx")
try:
    Cuda()
except BackendError as error:
    REASON = error.message
else:
    pytest.skip("this computer has an NVIDIA GPU", allow_module_level=True)

Here = Callable[..., Result]
RTX = ("--backend", "tensorrt-rtx")
LIVE = ("--no-preview", "--no-play", "--json", "--osc", "vmc://127.0.0.1:39999")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.getbasetemp()).folder


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, beat_track(3.0), SAMPLE_RATE)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Here:
    """Runs a command in this process, with a cache folder of its own and lines that are not broken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    return lambda *arguments: run_here(monkeypatch, capfd, *arguments)


def test_the_reason_is_the_drivers() -> None:
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt-rtx")
    assert caught.value.message == REASON
    assert caught.value.code in ("BACKEND_NO_DRIVER", "BACKEND_NO_DEVICE", "BACKEND_CUDA")


def test_run_dances_on_onnx_runtime_and_says_why(folder: Path, song: Path) -> None:
    result = run_process("run", "--audio", str(song), "--bundle", str(folder), "--seconds", "4", *RTX, *LIVE)
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["generated"] > 0
    said = " ".join(result.stderr.split())
    assert "tensorrt-rtx is being prepared; onnxruntime" in said
    assert f"tensorrt-rtx is not used, onnxruntime computes instead: {REASON}" in said
    assert said.count("is not used") == 1


def test_run_refuses_when_the_backend_is_required(folder: Path, song: Path) -> None:
    options = ("--bundle", str(folder), "--seconds", "30", *RTX, "--require-backend", *LIVE)
    result = run_process("run", "--audio", str(song), *options)
    assert result.code == BackendError.exit_code
    assert f"Error: {REASON}" in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_settings_ask_for_it_too(folder: Path, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "show.toml"
    config.write_text(f'[model]\nbackend = "tensorrt-rtx"\nrequire_backend = true\nbundle = "{folder}"\n')
    monkeypatch.setitem(os.environ, "SOULSTREAM_SESSION__SECONDS", "30")
    result = run_process("run", "--audio", str(song), "--config", str(config), *LIVE)
    assert result.code == BackendError.exit_code
    assert REASON in " ".join(result.stderr.split())


def rendered(here: Here, folder: Path, song: Path, out: Path, *options: str) -> Result:
    return here("render", str(song), "--out", str(out), "--bundle", str(folder), "--json", *options)


def test_render_dances_the_same_dance_and_says_why(here: Here, folder: Path, song: Path, tmp_path: Path) -> None:
    result = rendered(here, folder, song, tmp_path / "fallback.npz", *RTX)
    assert result.code == 0, result.stderr
    assert f"tensorrt-rtx is not used, onnxruntime computes instead: {REASON}" in result.stderr
    assert json.loads(result.stdout)["backend"].startswith("onnxruntime")
    assert rendered(here, folder, song, tmp_path / "plain.npz").code == 0
    first, second = (np.load(tmp_path / f"{name}.npz") for name in ("fallback", "plain"))  # noqa: TID251 our own files
    np.testing.assert_array_equal(first["joint_wxyz"], second["joint_wxyz"])


def test_render_refuses_when_the_backend_is_required(here: Here, folder: Path, song: Path, tmp_path: Path) -> None:
    result = rendered(here, folder, song, tmp_path / "take.npz", *RTX, "--require-backend")
    assert result.code == BackendError.exit_code
    assert f"Error: {REASON}" in result.stderr
    assert not (tmp_path / "take.npz").exists()


@pytest.mark.parametrize("command", ["run", "render"])
def test_a_misspelt_backend_is_no_reason_to_fall_back(command: str, here: Here, folder: Path, song: Path) -> None:
    arguments = ("run", "--audio", str(song)) if command == "run" else ("render", str(song), "--out", "x.npz")
    result = here(*arguments, "--bundle", str(folder), "--backend", "tensorrtx")
    assert result.code == 2
    assert "'tensorrt-rtx', got 'tensorrtx'" in result.stderr


def test_build_says_that_there_is_no_driver(here: Here, folder: Path, tmp_path: Path) -> None:
    result = here("build", "--bundle", str(folder))
    assert result.code == BackendError.exit_code
    assert f"Error: {REASON}" in result.stderr
    assert not list(tmp_path.rglob("*.plan"))


def test_build_can_be_tried_for_another_gpu(here: Here, folder: Path, tmp_path: Path) -> None:
    options = ("--check-only", "--compute-capability", "8.6", "--precision", "fp32", "--out", str(tmp_path / "out"))
    result = here("build", "--bundle", str(folder), "--json", *options)
    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    names = [step.name for step in load_bundle(folder).manifest.steps]
    assert [plan["step"] for plan in report["plans"]] == names
    assert report["compute_capability"] == "8.6"
    for plan in report["plans"]:
        assert (tmp_path / "out" / f"{plan['step']}.plan").stat().st_size == plan["bytes"] > 10_000
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--check-only", "--compute-capability", "9.0"), 4, "does not compile for compute capability 9.0"),
        (("--check-only", "--compute-capability", "Ada"), 2, "--compute-capability is 'Ada'"),
        (("--compute-capability", "8.9"), 2, "are for --check-only"),
        (("--backend", "openvino"), 2, "which compiles nothing"),
        (("--precision", "int8"), 2, "'fp16' or 'fp32', got 'int8'"),
    ],
)
def test_options_of_build_that_cannot_work_are_refused(
    options: tuple[str, ...], code: int, message: str, here: Here, folder: Path
) -> None:
    result = here("build", "--bundle", str(folder), *options)
    assert result.code == code
    assert message in result.stderr


def test_tensorrts_own_words_reach_the_user(folder: Path) -> None:
    bundle = load_bundle(folder)
    runtime = TensorRt("tensorrt-rtx")
    plan = compile_for(runtime, bundle.graphs["music"], bundle.manifest.step("music"), "fp32", "8.9")
    with pytest.raises(BackendError, match="CUDA driver version is insufficient for CUDA runtime version") as caught:
        tensorrt.deserialise(runtime, plan, "music")
    assert "cannot load the plan of step 'music'" in caught.value.message
    assert "Update the driver" in caught.value.hint
