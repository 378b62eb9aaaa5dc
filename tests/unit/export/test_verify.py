"""One backend that refuses or breaks off does not lose what the others gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes.toy_bundle import toy
from numpy.typing import NDArray
from typer.testing import CliRunner

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Arrays, Backend, Step
from soulstream_engine.errors import BackendError
from soulstream_engine.manifest import StepSpec
from soulstream_export import verify
from soulstream_export.cli import app


class Refusing:
    """Opens, and then takes no graph."""

    name = "refusing 1.0"

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        raise BackendError("BACKEND_GRAPH", f"Step '{name}' has an operator [GatherND] that is not known.")


class Breaking:
    """Takes every graph, and then runs none."""

    name = "breaking 1.0"

    def load(self, graph: bytes, name: str, spec: StepSpec | None = None) -> Step:
        return BreakingStep(open_backend().load(graph, name, spec).spec)


@dataclass
class BreakingStep:
    spec: StepSpec

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        raise BackendError("BACKEND_CUDA", "The card fell off the bus [/bus].")


def compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backends: dict[str, type[Backend]], *options: str
) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and text for people of a run in which there are ONNX Runtime and ``backends``."""
    known = {name: (make, "float32") for name, make in backends.items()}
    monkeypatch.setattr(verify, "CANDIDATES", known)
    result = CliRunner().invoke(app, ["verify", str(folder), "--ticks", "2", "--json", *options])
    if isinstance(result.exception, BackendError):
        raise result.exception
    return result.exit_code, json.loads(result.stdout.splitlines()[-1]), result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.getbasetemp()).folder


def test_a_backend_that_refuses_the_graph_is_listed_with_its_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, document, text = compared(folder, monkeypatch, {"refusing": Refusing, "onnxruntime": open_backend})
    assert code == 0
    assert document["ok"]
    assert document["backends"]["onnxruntime"]["ok"]
    assert "operator [GatherND] that is not known" in document["not_compared"]["refusing"]
    assert "refusing was not compared: Step" in text


def test_a_named_backend_that_refuses_the_graph_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="that is not known"):
        compared(folder, monkeypatch, {"refusing": Refusing}, "--backend", "refusing")


@pytest.mark.parametrize("options", [(), ("--backend", "breaking", "--backend", "onnxruntime")])
def test_a_backend_that_breaks_off_fails_the_check_and_keeps_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    backends = {"breaking": Breaking, "onnxruntime": open_backend}
    code, document, text = compared(folder, monkeypatch, backends, *options)
    assert code == 1
    assert not document["ok"]
    assert document["backends"]["breaking"] == {"ok": False, "error": "The card fell off the bus [/bus]."}
    assert document["backends"]["onnxruntime"]["ok"]
    assert document["codes_equal"] == 1.0
    assert "breaking failed: The card fell off the bus [/bus]." in text
    assert "broke off" in text


def test_nothing_compared_is_not_a_proof(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, document, _ = compared(folder, monkeypatch, {"refusing": Refusing})
    assert code == 1
    assert (document["ok"], document["max_abs_logit"], document["codes_equal"]) == (False, None, None)
