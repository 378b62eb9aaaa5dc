"""Arrays from anywhere: what is read, and what is refused before anything is allocated."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fakes.model_poses import write_bomb

from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.npy_guard import list_npz, read_npy, read_npz, read_single

VALUES = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "u1", "bool", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(tmp_path, dtype, order):
    path = tmp_path / "a.npy"
    stored = np.asarray(VALUES.astype(dtype), order=order)
    np.save(path, stored)
    found = read_npy(path)
    np.testing.assert_array_equal(found, stored)
    assert found.dtype.isnative
    assert found.flags.writeable


def test_only_what_is_wanted_is_opened(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, values=VALUES, gender=np.array("female"), extras=np.array({"a": 1}, dtype=object))
    assert set(list_npz(path)) == {"values", "gender", "extras"}
    found = read_npz(path, ["values", "nothing"])
    assert set(found) == {"values"}
    np.testing.assert_array_equal(found["values"], VALUES)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("objects", np.array([{}], dtype=object), r"a\.npz: array 'objects' has type object, allowed are float16"),
        ("text", np.array("neutral"), r"array 'text' has type <U7"),
        ("complex", np.zeros(2, complex), "has type complex128"),
    ],
)
def test_objects_and_texts_are_refused(tmp_path, name, values, message):
    path = tmp_path / "a.npz"
    np.savez(path, **{name: values})
    with pytest.raises(MotionFileError, match=message):
        read_npz(path, [name])
    np.save(path.with_suffix(".npy"), values)
    with pytest.raises(MotionFileError, match="has type"):
        read_npy(path.with_suffix(".npy"))


def test_zip_bombs_are_refused(tmp_path):
    with pytest.raises(MotionFileError, match=r"'poses' unpacks to \d+ times its size, 100 are allowed"):
        read_npz(write_bomb(tmp_path / "a.npz", "poses"), ["poses"])


def test_sizes_are_limited(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(MotionFileError, match=r"a\.npy: has 224 bytes, 100 are allowed"):
        read_npy(tmp_path / "a.npy", max_bytes=100)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(900), b=np.zeros(900))
    with pytest.raises(MotionFileError, match="unpacks to 14656 bytes, 10000 are allowed"):
        read_npz(tmp_path / "a.npz", ["a", "b"], max_bytes=10_000)


def test_headers_must_fit_the_bytes(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, VALUES)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(MotionFileError, match=r"says float64\[3, 4\], 96 bytes, and holds 95"):
        read_npy(path)
    path.write_bytes(whole.replace(b"(3, 4)", b"(9**9)"))
    with pytest.raises(MotionFileError, match=r"bad header \(ValueError\)"):
        read_npy(path)
    path.write_bytes(whole.replace(b"(3, 4)", b"(-3,4)"))
    with pytest.raises(MotionFileError, match=r"\[-3, 4\]"):
        read_npy(path)
    path.write_bytes(b"no array at all")
    with pytest.raises(MotionFileError, match="bad header"):
        read_npy(path)


def test_every_cut_of_an_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=VALUES)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(MotionFileError):
            read_npz(path, ["a"])


def test_no_flipped_byte_gets_through_unnoticed_or_as_another_error(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=VALUES)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = read_npz(path, ["a"])
        except MotionFileError:
            continue
        if "a" in found:
            np.testing.assert_array_equal(found["a"], VALUES)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_npy(tmp_path / "nothing.npy")
    with pytest.raises(MotionFileError, match=r"is not a plain file|cannot be read"):
        read_npy(tmp_path)
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(MotionFileError, match="is not a plain file"):
        read_npy(tmp_path / "pipe.npy")


def test_the_one_array_of_a_file(tmp_path):
    np.savez(tmp_path / "one.npz", whatever=VALUES)
    np.testing.assert_array_equal(read_single(tmp_path / "one.npz"), VALUES)
    np.savez(tmp_path / "two.npz", other=VALUES, joints=VALUES + 1)
    np.testing.assert_array_equal(read_single(tmp_path / "two.npz", ("joints",)), VALUES + 1)
    with pytest.raises(MotionFileError, match=r"two\.npz: holds 2 arrays .* Name the array one of motion"):
        read_single(tmp_path / "two.npz", ("motion",))
