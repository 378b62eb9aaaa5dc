"""Archives are refused before they can fill the memory or run anything."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fakes.bundle_files import npz_bytes

from soulstream_engine.arrays import read_arrays
from soulstream_engine.errors import BundleError


def zip_of(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def npy_bytes(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "uint8", "bool"])
def test_plain_arrays_come_back_equal(dtype: str, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=values, fortran=np.asfortranarray(values[0]), scalar=np.float32(30), empty=values[:0])
    found = read_arrays(path)
    np.testing.assert_array_equal(found["a"], values)
    np.testing.assert_array_equal(found["fortran"], values[0])
    assert found["a"].dtype == values.dtype
    assert found["scalar"].shape == ()
    assert found["empty"].shape == (0, 3, 4)


def test_big_endian_arrays_are_read_in_native_order() -> None:
    found = read_arrays(npz_bytes(a=np.array([1.0, 2.0], dtype=">f4")))["a"]
    np.testing.assert_array_equal(found, np.array([1.0, 2.0], np.float32))
    assert found.dtype.isnative


def test_a_bomb_of_zeros_is_refused_by_its_ratio() -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(8 << 20, np.uint8))
    assert len(stream.getvalue()) < 20_000
    with pytest.raises(BundleError, match=r"unpacks to .* times its size, 100 are allowed"):
        read_arrays(stream.getvalue())


def test_the_total_size_is_capped() -> None:
    data = npz_bytes(a=np.ones(1000, np.float32), b=np.ones(1000, np.float32))
    with pytest.raises(BundleError, match="unpacks to 8256 bytes, 8000 are allowed"):
        read_arrays(data, max_bytes=8000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a readable npz"),
        (b"PK\x03\x04 but no more", "not a readable npz"),
        (npz_bytes(a=np.ones(100, np.float32))[:-40], "not a readable npz"),
        (zip_of({"a.npy": npy_bytes(np.array([{}], dtype=object), allow_pickle=True)}), "has type object"),
        (zip_of({"a.npy": npy_bytes(np.array(["text"]))}), "has type <U4"),
        (zip_of({"a.npy": npy_bytes(np.zeros(3, [("x", "f4")]))}), "has type"),
        (zip_of({"a.npy": npy_bytes(np.ones(9))[:-8]}), r"says shape \(9,\) float64 and holds 64 bytes"),
        (zip_of({"a.npy": b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 200}), "bad array header"),
        (zip_of({"a.npy": b"not an array"}), "bad array header"),
        (zip_of({"../a.npy": npy_bytes(np.ones(1))}), "not a plain array name"),
        (zip_of({"/a.npy": npy_bytes(np.ones(1))}), "not a plain array name"),
        (zip_of({"a.txt": b"hello"}), "not a plain array name"),
        (zip_of({"a.npy": npy_bytes(np.ones(1))}, compression=zipfile.ZIP_BZIP2), "unknown method"),
        (zip_of({f"a{i}.npy": npy_bytes(np.ones(1)) for i in range(1025)}), "1025 members, 1024 are allowed"),
    ],
)
def test_anything_else_is_refused_and_named(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_arrays(data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.npz"):
        read_arrays(tmp_path / "nothing.npz")
