"""Pickles: arrays come back from every protocol; whatever else a pickle can do is refused by name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from fakes.model_poses import write_pickle

from soulstream_training.data import pickle_worker, safe_pickle
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.safe_pickle import read_pickle_arrays

DOCUMENT = {
    "floats": np.linspace(-1, 1, 12).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "strided": np.arange(20, dtype=np.int16).reshape(4, 5)[:, ::2],
    "big_endian": np.arange(3, dtype=">f8"),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "scalar": np.float32(0.5),
    "whole": 3,
    "real": 2.5,
    "nested": [[1, 2.5], (3, 4)],
    "text": "left out",
    "nothing": None,
}


def assert_document(found):
    assert set(found) == set(DOCUMENT) - {"text", "nothing"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, np.asarray(DOCUMENT[name]))
    assert found["columns"].dtype == np.float32
    assert found["scalar"].shape == ()


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_from_every_protocol(tmp_path, protocol):
    assert_document(read_pickle_arrays(write_pickle(tmp_path / "a.pkl", DOCUMENT, protocol)))


@pytest.mark.parametrize("protocol", [0, 2])
def test_module_names_of_numpy_1_are_known(tmp_path, protocol):
    path = write_pickle(tmp_path / "a.pkl", DOCUMENT, protocol, numpy_major=1)
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert_document(read_pickle_arrays(path))


def test_arrays_as_python_2_wrote_them(tmp_path):
    # Byte strings where Python 3 has texts.
    data = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + np.array([1.5, -2.0], "<f4").tobytes() + b"tbs."
    )
    (tmp_path / "a.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_pickle_arrays(tmp_path / "a.pkl")["a"], [1.5, -2.0])


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {marker}",), r"'posix\.system'"),
        (eval, ("open('{marker}', 'w')",), r"'builtins\.eval'"),
        (open, ("{marker}", "w"), r"'_?io\.open'"),
        (bytearray, (10**12,), r"'builtins\.bytearray'"),
        (np.fromfile, ("{marker}",), r"'numpy(\._core\.multiarray)?\.fromfile'"),
        (np.ones, (3,), r"'numpy(\._core\.numeric)?\.ones'"),
    ],
)
def test_forbidden_names_are_refused_and_not_run(tmp_path, function, arguments, name):
    marker = tmp_path / "marker"
    filled = [part.format(marker=marker) if isinstance(part, str) else part for part in arguments]
    path = write_pickle(tmp_path / "a.pkl", {"a": Call(function, *filled)}, 5)
    with pytest.raises(MotionFileError, match=rf"a\.pkl: asks for {name}; only plain numpy arrays and numbers"):
        read_pickle_arrays(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", r"asks for 'os\.system'"),
        (b"(S'true'\nios\nsystem\n.", r"asks for 'os\.system'"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", r"asks for 'numpy\.dtype\.__init__'"),
        (b"\x80\x02\x82\x01.", "is not a readable pickle"),
        (b"Psomewhere\n.", "is not a readable pickle"),
        (b"cnumpy\nndarray\n(tR.", r"is not a readable pickle \(TypeError"),
        (b"cnumpy\ndtype\n(S'f8'\ntR.", "holds a _ElementType, expected a dictionary"),
        (b"", "is not a readable pickle"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "needs more than 536870912 bytes of memory"),  # a memo of 2^31 places
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "is not a readable pickle"),
        (b"\x80\x02}(K\x01K\x02u.", "has a key '1' that is not a plain name"),
        (b"\x80\x02}(X\x04\x00\x00\x00../aK\x02u.", r"has a key '\.\./a'"),
    ],
)
def test_handmade_pickles(tmp_path, data, message):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(MotionFileError, match=message):
        read_pickle_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1, 2], "holds a list, expected a dictionary of at most 64 arrays"),
        ({str(i): 0 for i in range(65)}, "holds a dict, expected a dictionary of at most 64"),
        ({"a": {"b": 1}}, "'a' holds dict; only arrays and numbers are read"),
        ({"a": [1, "x"]}, "'a' holds str"),
        ({"a": [[1], [1, 2]]}, "'a' is an irregular list"),
        ({"a": [[[[[1]]]]]}, "'a' is an irregular list"),
        ({"a": np.array([{}], dtype=object)}, r"array 'a' has type '\|O8'"),
        ({"a": np.array(["text"])}, r"array 'a' has type '<U4'"),
        ({"a": 10**400}, r"is not a readable pickle \(OverflowError"),
    ],
)
def test_other_documents_are_refused(tmp_path, document, message):
    with pytest.raises(MotionFileError, match=message):
        read_pickle_arrays(write_pickle(tmp_path / "a.pkl", document))


def test_shapes_that_do_not_fit_the_bytes_are_refused(tmp_path):
    path = write_pickle(tmp_path / "a.pkl", {"a": np.arange(3.0)}, 2)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"K\x03\x85", b"K\x04\x85", 1))
    with pytest.raises(MotionFileError, match=r"array 'a' says f8\[4\], 32 bytes, and holds 24"):
        read_pickle_arrays(path)


def test_every_cut_is_refused(tmp_path):
    path = write_pickle(tmp_path / "a.pkl", {"a": np.arange(3.0)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 31):
        path.write_bytes(whole[:length])
        with pytest.raises(MotionFileError, match="is not a readable pickle"):
            read_pickle_arrays(path)


def test_memory_is_limited(tmp_path):
    # One byte of this file makes a list of 56 bytes.
    (tmp_path / "a.pkl").write_bytes(b"(" + b"]" * 4_000_000 + b"l.")
    with pytest.raises(MotionFileError, match="needs more than 100000000 bytes of memory"):
        read_pickle_arrays(tmp_path / "a.pkl", memory_bytes=100_000_000)


def test_lists_that_hold_each_other_do_not_grow_without_bound(tmp_path):
    row = [0.0] * 1000
    with pytest.raises(MotionFileError, match="more than 10000000 numbers"):
        read_pickle_arrays(write_pickle(tmp_path / "a.pkl", {"a": [[[row] * 100] * 100] * 10}))


def run_isolated(script, *arguments):
    """Runs a script that has the worker's names at hand, in a process like the worker's."""
    prelude = "import runpy, sys; names = runpy.run_path(sys.argv[1], run_name='worker'); globals().update(names)\n"
    command = [sys.executable, "-I", "-S", "-c", prelude + script, pickle_worker.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def test_the_process_can_open_neither_files_nor_sockets(tmp_path):
    script = """
import socket
limit(10**9, 5, 100)
for act in (lambda: open(sys.argv[2]), lambda: open(sys.argv[2] + "x", "w"), socket.socket):
    try:
        act()
        print("opened")
    except OSError as error:
        print(error.errno)
"""
    assert run_isolated(script, str(write_pickle(tmp_path / "a.pkl", {}))) == [str(errno.EMFILE)] * 3


def test_damaged_pickles_raise_nothing_unforeseen(tmp_path):
    # Every byte is changed in several ways, in one process whose memory is limited.
    script = """
import io, random, resource
resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))
generator = random.Random(0)
whole = open(sys.argv[2], "rb").read()
for at in range(len(whole)):
    for _ in range(4):
        data = whole[:at] + bytes([generator.randrange(256)]) + whole[at + 1:]
        try:
            members(AllowListUnpickler(io.BytesIO(data), encoding="latin1").load())
        except (RefusedError, MemoryError, *UNREADABLE):
            pass
print("done")
"""
    document = {"a": np.arange(3.0), "b": np.float32(1), "c": [1, 2]}
    for protocol in (2, 5):
        path = write_pickle(tmp_path / "a.pkl", document, protocol)
        assert run_isolated(script, str(path)) == ["done"]


def test_time_is_limited(tmp_path):
    path = write_pickle(tmp_path / "a.pkl", DOCUMENT)
    with pytest.raises(MotionFileError, match=r"a\.pkl: took longer than 0\.0001 s"):
        read_pickle_arrays(path, timeout_s=0.0001)


def test_size_is_limited_and_the_file_must_be_one(tmp_path, monkeypatch):
    path = write_pickle(tmp_path / "a.pkl", DOCUMENT)
    monkeypatch.setattr(safe_pickle, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(MotionFileError, match="not a plain file of at most 10 bytes"):
        read_pickle_arrays(path)
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_pickle_arrays(tmp_path / "nothing.pkl")
