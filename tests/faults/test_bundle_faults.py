"""Every way a bundle can be wrong gives one error with a stable code that names the file and the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.bundle_files import add_graph, write_bundle

from soulstream_engine.bundle import MAX_BUNDLE_BYTES, load_bundle
from soulstream_engine.errors import BundleError


def change_one_byte(folder: Path) -> None:
    path = folder / "step.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def edit_manifest(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return damage


def link_to_outside(folder: Path) -> None:
    target = folder.parent / "outside.onnx"
    shutil.move(folder / "step.onnx", target)
    (folder / "step.onnx").symlink_to(target)


def list_as(name: str) -> Callable[[Path], None]:
    def change(document: dict) -> None:
        document["files"][name] = document["files"].pop("step.onnx")
        document["steps"][0]["file"] = name

    return edit_manifest(change)


def twice(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"licence"', '"model_id": "other", "licence"', 1))


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no folder": (shutil.rmtree, "BUNDLE_MISSING", "is not a folder"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "BUNDLE_FILE_MISSING", r"manifest\.json"),
    "no graph": (lambda f: (f / "step.onnx").unlink(), "BUNDLE_FILE_MISSING", r"lacks its file 'step\.onnx'"),
    "one bit flipped": (change_one_byte, "BUNDLE_HASH", r"step\.onnx' was changed: its SHA-256"),
    "cut short": (lambda f: (f / "stats.npz").write_bytes(b"PK"), "BUNDLE_SIZE", "has 2 bytes, the manifest says"),
    "newer schema": (
        edit_manifest(lambda d: d.update(schema_version=2)),
        "BUNDLE_TOO_NEW",
        r"schema version 2, this soulstream reads up to 1\. Update soulstream",
    ),
    "older than the first": (edit_manifest(lambda d: d.update(schema_version=0)), "BUNDLE_MANIFEST", "got 0"),
    "huge declared size": (
        edit_manifest(lambda d: d["files"]["stats.npz"].update(bytes=MAX_BUNDLE_BYTES + 1)),
        "BUNDLE_TOO_LARGE",
        f"{MAX_BUNDLE_BYTES} are allowed",
    ),
    "symbolic link": (link_to_outside, "BUNDLE_LINK", "symbolic link"),
    "name with ..": (list_as("../outside.onnx"), "BUNDLE_FILE_NAME", r"'\.\./outside\.onnx'"),
    "absolute name": (list_as("/etc/passwd"), "BUNDLE_FILE_NAME", "'/etc/passwd'"),
    "name in a folder": (list_as("a/step.onnx"), "BUNDLE_FILE_NAME", "only plain names"),
    "not JSON": (lambda f: (f / "manifest.json").write_text("{"), "BUNDLE_MANIFEST", "not valid JSON"),
    "not an object": (lambda f: (f / "manifest.json").write_text("[]"), "BUNDLE_MANIFEST", "not valid"),
    "deep JSON": (lambda f: (f / "manifest.json").write_text("[" * 100_000), "BUNDLE_MANIFEST", "not valid JSON"),
    "a key twice": (twice, "BUNDLE_MANIFEST", "'model_id' appears twice"),
    "huge manifest": (lambda f: (f / "manifest.json").write_text(" " * 2_000_000), "BUNDLE_TOO_LARGE", "2000000 bytes"),
    "manifest is a folder": (
        lambda f: ((f / "manifest.json").unlink(), (f / "manifest.json").mkdir()),
        "BUNDLE_LINK",
        "not a plain file",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_bundle_is_refused(fault: str, tmp_path: Path) -> None:
    damage, code, message = FAULTS[fault]
    folder = write_bundle(tmp_path / "toy")
    damage(folder)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(folder)
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_graph_with_foreign_operators_is_refused_although_its_hash_is_right(tmp_path: Path) -> None:
    graph = add_graph(domain="com.example", op="Run").SerializeToString()
    with pytest.raises(BundleError, match=r"com\.example") as caught:
        load_bundle(write_bundle(tmp_path / "toy", graph=graph))
    assert caught.value.code == "BUNDLE_GRAPH_REFUSED"
