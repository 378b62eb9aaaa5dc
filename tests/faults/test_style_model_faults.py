"""Every way an exported retrieval model can be wrong gives one error that names the file and the remedy."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.bundle_files import add_graph
from fakes.toy_mmr import toy_style

from soulstream_engine.errors import BackendError, BundleError, SoulstreamError
from soulstream_engine.style_model import load_music_style

ROUNDS = 300


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(toy_style(tmp_path_factory.getbasetemp()).folder, tmp_path / "mmr"))


def change_one_byte(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return damage


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        document = json.loads((folder / "mmr.json").read_text())
        change(document)
        (folder / "mmr.json").write_text(json.dumps(document))

    return damage


def put_graph(data: bytes) -> Callable[[Path], None]:
    """Another graph in place of the music encoder, with hash and size that are right."""

    def damage(folder: Path) -> None:
        (folder / "music.onnx").write_bytes(data)
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        edit(lambda document: document["music"].update(entry))(folder)

    return damage


def rename_feature(document: dict) -> None:
    document["feature_names"][37] = "colour"


def link_to_outside(folder: Path) -> None:
    target = folder.parent / "outside.onnx"
    shutil.move(folder / "music.onnx", target)
    (folder / "music.onnx").symlink_to(target)


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no folder": (shutil.rmtree, "BUNDLE_MISSING", r"is not a folder\. Name the folder that holds mmr\.json"),
    "no description": (lambda f: (f / "mmr.json").unlink(), "BUNDLE_FILE_MISSING", r"lacks its file 'mmr\.json'"),
    "no music": (lambda f: (f / "music.onnx").unlink(), "BUNDLE_FILE_MISSING", r"lacks its file 'music\.onnx'"),
    "no motion": (lambda f: (f / "motion.onnx").unlink(), "BUNDLE_FILE_MISSING", r"lacks its file 'motion\.onnx'"),
    "one bit of music": (change_one_byte("music.onnx"), "BUNDLE_HASH", r"music\.onnx' was changed: its SHA-256"),
    "one bit of motion": (change_one_byte("motion.onnx"), "BUNDLE_HASH", r"motion\.onnx' was changed"),
    "cut short": (lambda f: (f / "music.onnx").write_bytes(b"on"), "BUNDLE_SIZE", "has 2 bytes, the manifest says"),
    "link": (link_to_outside, "BUNDLE_LINK", "symbolic link"),
    "not JSON": (lambda f: (f / "mmr.json").write_text("{"), "BUNDLE_MANIFEST", r"mmr\.json' is not valid JSON"),
    "not an object": (lambda f: (f / "mmr.json").write_text("[]"), "BUNDLE_MANIFEST", "not valid"),
    "newer schema": (edit(lambda d: d.update(schema_version=2)), "BUNDLE_TOO_NEW", r"version 2, .* up to 1\. Update"),
    "a misspelt key": (edit(lambda d: d.update(frame=d.pop("frames"))), "BUNDLE_MANIFEST", "did you mean 'frames'"),
    "another rate": (edit(lambda d: d.update(fps=60)), "BUNDLE_MANIFEST", "fps: .* got 60"),
    "endless window": (edit(lambda d: d.update(frames=10**9)), "BUNDLE_MANIFEST", "frames: .*3600, got 1000000000"),
    "huge graph": (edit(lambda d: d["music"].update(bytes=10**12)), "BUNDLE_MANIFEST", r"music\.bytes: .* got 10000"),
    "another feature": (edit(rename_feature), "BUNDLE_FEATURES", r"column 37: 'colour' against '\w+'\. Use one made"),
    "a feature fewer": (
        edit(lambda d: d["feature_names"].pop()),
        "BUNDLE_FEATURES",
        "wants 49 music features and this engine computes 50; .* column 49: 'nothing' against 'heard'",
    ),
    "another window": (edit(lambda d: d.update(frames=100)), "BACKEND_SIGNATURE", r"\[1, 100, 50\] .*\[1, 150, 50\]"),
    "another width": (edit(lambda d: d.update(width=256)), "BACKEND_SIGNATURE", r"says \[1, 256\] .*\[1, 32\]"),
    "another graph": (put_graph(add_graph().SerializeToString()), "BACKEND_SIGNATURE", "'music'"),
    "foreign operators": (
        put_graph(add_graph(domain="com.example", op="Run").SerializeToString()),
        "BUNDLE_GRAPH_REFUSED",
        r"com\.example",
    ),
    "no graph": (put_graph(b"no graph at all"), "BUNDLE_GRAPH_REFUSED", r"music\.onnx' was refused"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_model_is_refused(fault: str, folder: Path) -> None:
    damage, code, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(SoulstreamError) as caught:
        load_music_style(folder)
    assert caught.value.code == code
    assert caught.value.hint
    assert isinstance(caught.value, BackendError if code.startswith("BACKEND") else BundleError)
    assert re.search(message, str(caught.value))


def test_whatever_is_in_the_description_only_our_errors_come_out(folder: Path) -> None:
    source = random.Random(3)  # noqa: S311 - reproducible damage, no secret
    good = (folder / "mmr.json").read_bytes()
    for _ in range(ROUNDS):
        data = bytearray(good)
        for _ in range(source.randint(1, 6)):
            data[source.randrange(len(data))] = source.choice(b'0123456789"[]{},:-.\xff\x00')
        (folder / "mmr.json").write_bytes(bytes(data))
        try:
            style = load_music_style(folder)
        except SoulstreamError as error:
            assert len(error.message) < 20_000
        else:
            assert style.frames == 150


def test_a_graph_that_fits_and_gives_no_numbers_is_noticed_when_it_is_used(folder: Path) -> None:
    model = onnx.load(folder / "music.onnx")
    for node in model.graph.node:
        node.output[:] = ["before" if name == "latent" else name for name in node.output]
    model.graph.initializer.append(onnx.helper.make_tensor("minus", onnx.TensorProto.FLOAT, [1], [-1e9]))
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "minus"], ["negative"]))
    model.graph.node.append(onnx.helper.make_node("Sqrt", ["negative"], ["latent"]))
    put_graph(model.SerializeToString())(folder)
    style = load_music_style(folder)
    style.push(np.zeros((150, 50), np.float32))
    with pytest.raises(SoulstreamError, match="a vector of length nan"):
        style.embedding()
