"""Whatever is in the files of a bundle, the answer is a bundle or a BundleError; nothing else ever comes out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from fakes.bundle_files import npz_bytes, write_bundle

from soulstream_engine.arrays import read_arrays
from soulstream_engine.bundle import load_bundle
from soulstream_engine.errors import BundleError

ROUNDS = 500


def damaged(good: bytes, source: random.Random) -> bytes:
    """``good`` with a few bytes changed, cut out, doubled or cut off."""
    data = bytearray(good)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data))
        kind = source.randrange(4)
        if kind == 0:
            data[at] = source.randrange(256)
        elif kind == 1:
            del data[at : at + source.randint(1, 20)]
        elif kind == 2:
            data[at:at] = data[at : at + source.randint(1, 20)]
        else:
            data[at] = ord(source.choice('0123456789"[]{},:-.'))
    return bytes(data[: source.randint(len(data) // 2, len(data))] if source.random() < 0.1 else data) or b"0"


def test_a_damaged_manifest(tmp_path: Path) -> None:
    source = random.Random(1)  # noqa: S311 - reproducible damage, no secret
    folder = write_bundle(tmp_path / "toy")
    good = (folder / "manifest.json").read_bytes()
    refused = 0
    for _ in range(ROUNDS):
        (folder / "manifest.json").write_bytes(damaged(good, source))
        try:
            load_bundle(folder)
        except BundleError as error:
            refused += 1
            assert len(error.message) < 20_000
    assert refused > ROUNDS * 0.8


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_archive() -> None:
    source = random.Random(2)  # noqa: S311 - reproducible damage, no secret
    good = npz_bytes(mean=np.arange(60, dtype=np.float32), names=np.arange(6, dtype=np.int64).reshape(2, 3))
    for _ in range(ROUNDS * 4):
        try:
            arrays = read_arrays(damaged(good, source), max_bytes=100_000)
        except BundleError:
            continue
        assert sum(values.nbytes for values in arrays.values()) <= 100_000
