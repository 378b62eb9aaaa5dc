"""Writes a tiny valid bundle that tests then damage in one way each."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

Edit = Callable[[dict[str, Any]], None]


def add_graph(*, domain: str = "", op: str = "Add") -> onnx.ModelProto:
    """``y = x + w``, ``state_out = state_in + w`` on four numbers."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    value = helper.make_tensor_value_info
    names = ("x", "state_in"), ("y", "state_out")
    nodes = [
        helper.make_node(op, ["x", "w"], ["y"], domain=domain),
        helper.make_node("Add", ["state_in", "w"], ["state_out"]),
    ]
    inputs, outputs = ([value(name, TensorProto.FLOAT, [4]) for name in group] for group in names)
    graph = helper.make_graph(nodes, "step", inputs, outputs, [weight])
    opsets = [helper.make_opsetid("", 17)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def manifest_document() -> dict[str, Any]:
    """A complete manifest without its ``files`` section."""

    def tensor(name: str) -> dict[str, Any]:
        return {"name": name, "shape": [4], "dtype": "float32"}

    return {
        "schema_version": 1,
        "model_id": "toy",
        "licence": "GPL-3.0-or-later",
        "created_from": "Four numbers written by a test.",
        "representation": {
            "parts": ["body"],
            "rot_source": "local",
            "face_space": "arkit52",
            "fps": 30,
            "feature_dims": {"body": 263},
            "not_generated": ["hands", "face"],
        },
        "features": {"names": ["mel_0", "onset"]},
        "tokenizer": {"levels": 2, "codes": 16, "frames_per_token": 4, "look_ahead_frames": 0},
        "sampler": {
            "context_tokens": 24,
            "planned_tokens": 8,
            "commit_tokens": 2,
            "lead_frames": 4,
            "iterations": 4,
            "guidance": 1.5,
            "temperature": 1.0,
            "keep_share": 0.1,
        },
        "steps": [
            {
                "name": "step",
                "file": "step.onnx",
                "inputs": [tensor("x"), tensor("state_in")],
                "outputs": [tensor("y"), tensor("state_out")],
                "states": [{"input": "state_in", "output": "state_out"}],
            }
        ],
        "metrics": {"mpjpe_body_mm": 35.5},
        "notices": ["none"],
    }


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """The bytes of an npz archive."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def write_bundle(folder: Path, *, edit: Edit | None = None, graph: bytes | None = None) -> Path:
    """A valid bundle in ``folder``; ``edit`` changes the manifest after hashes and sizes were filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "step.onnx": add_graph().SerializeToString() if graph is None else graph,
        "stats.npz": npz_bytes(mean=np.zeros(263, np.float32), std=np.ones(263, np.float32)),
    }
    document = manifest_document()
    document["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    if edit is not None:
        edit(document)
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder
