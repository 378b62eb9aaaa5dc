"""The process that opens a pickle nobody vouches for; a script run by ``safe_pickle``, standard library only.

A pickle is a program. Here it may build dictionaries, lists, texts and numbers, and name the few functions of numpy
that rebuild an array; each is replaced by a stand-in that only writes down what it was given, so that no code of numpy
sees the file. Any other name is refused. Memory, time and output are limited, and no file or socket can be opened.

Standard input is the pickle, standard output the npz that comes of it, standard error one line if it is refused.
"""

from __future__ import annotations

import array
import math
import pickle  # noqa: TID251 - the allow-list unpickler itself; every name a file asks for is a stand-in or refused
import re
import struct
import sys
import zipfile
from typing import Any, NoReturn

MAX_KEYS = 64
MAX_ELEMENTS = 10_000_000
MAX_AXES = 8
MAX_LIST_DEPTH = 4
REFUSED = 3
"""Exit code of a file that was understood and refused."""

UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError),
    *(ValueError, OverflowError, RecursionError, OSError, struct.error, zipfile.LargeZipFile),
)
"""What reading a damaged pickle raises, besides ``RefusedError`` and ``MemoryError``; found by damaging them."""

_CODES = {
    **{"b1": 1, "i1": 1, "u1": 1, "f2": 2, "i2": 2, "u2": 2},
    **{"f4": 4, "i4": 4, "u4": 4, "f8": 8, "i8": 8},
}
_ORDERS = {"<": "<", ">": ">", "|": "|", "=": "<" if sys.byteorder == "little" else ">"}
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")


class RefusedError(Exception):
    """The pickle asks for, or holds, something that is not allowed."""


class _ElementType:
    """Stands for ``numpy.dtype``: remembers its code and byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = _text(code), "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])


class _Array:
    """Stands for ``numpy.ndarray``: remembers shape, type and bytes."""

    __slots__ = ("data", "element", "is_fortran", "shape")

    def __init__(self, shape: Any = None, element: Any = None, data: Any = None, is_fortran: Any = False) -> None:
        self.shape, self.element, self.data, self.is_fortran = shape, element, data, is_fortran

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.element, self.is_fortran, self.data = state


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(element: Any, data: Any) -> _Array:
    return _Array((), element, data)


def _frombuffer(data: Any, element: Any, shape: Any, order: Any, axis_order: Any = None) -> _Array:
    if axis_order is not None or order not in ("C", "F"):
        raise RefusedError(f"stores an array in memory order {order!r}; only 'C' and 'F' are read")
    return _Array(shape, element, data, order == "F")


def _encode(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"encodes a {type(text).__name__} as {encoding!r}; only texts as latin1 are read")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _ElementType,
    ("numpy", "ndarray"): "ndarray",  # only ever handed to _reconstruct, which ignores it
    ("_codecs", "encode"): _encode,
    **{(builtins, "bytes"): _no_bytes for builtins in ("builtins", "__builtin__")},  # how old protocols write b""
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class AllowListUnpickler(pickle.Unpickler):
    """An unpickler that knows the stand-ins and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Gives the stand-in for a name.

        Args:
            module: Module the file asks for.
            name: Name in it.

        Returns:
            The stand-in.

        Raises:
            RefusedError: If the name is not on the list.
        """
        if (module, name) not in _ALLOWED:
            raise RefusedError(f"asks for '{module[:60]}.{name[:60]}'; only plain numpy arrays and numbers are read")
        return _ALLOWED[module, name]


def limit(memory_bytes: int, cpu_s: int, output_bytes: int) -> None:
    """Limits this process: memory, processor seconds, output, and no new files, sockets or processes.

    Args:
        memory_bytes: Address space.
        cpu_s: Processor time, seconds.
        output_bytes: Largest file it may write.

    Raises:
        RefusedError: If this system cannot limit a process.
    """
    try:
        import resource
    except ImportError as error:
        raise RefusedError("cannot be read on this system, which cannot limit a process; use Linux") from error
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 3,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def members(document: Any) -> dict[str, bytes]:
    """Turns an unpickled document into ``.npy`` members.

    Args:
        document: A dictionary of arrays, numbers and lists of numbers; texts, bytes and ``None`` are left out.

    Returns:
        Contents of the members by name.

    Raises:
        RefusedError: If it is anything else, or an array is not one of plain numbers.
    """
    document = _unpacked(document)
    if type(document) is not dict or len(document) > MAX_KEYS:
        raise RefusedError(f"holds a {type(document).__name__}, expected a dictionary of at most {MAX_KEYS} arrays")
    found = {}
    for key, value in document.items():
        name = _text(key) if isinstance(key, str | bytes) else ""
        if not _KEY.fullmatch(name):
            raise RefusedError(f"has a key {str(key)[:40]!r} that is not a plain name")
        if value is None or isinstance(value, str | bytes):
            continue
        if type(value) is _Array:
            found[name] = _npy(name, value.shape, value.element, value.data, bool(value.is_fortran))
        else:
            found[name] = _numbers(name, value)
    return found


def _unpacked(document: Any) -> Any:
    """What ``numpy.save`` put into an array because it was none: an array without axes that holds one object."""
    is_wrapped = type(document) is _Array and document.shape == () and type(document.data) is list
    return document.data[0] if is_wrapped and len(document.data) == 1 else document


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if type(value) is str else f"a {type(value).__name__}"


def _npy(name: str, shape: Any, element: Any, data: Any, is_fortran: bool) -> bytes:
    """The bytes of a ``.npy`` file of format 1.0."""
    if type(element) is not _ElementType or element.code not in _CODES or element.order not in _ORDERS:
        kind = f"{element.order}{element.code}" if type(element) is _ElementType else type(element).__name__
        raise RefusedError(f"array '{name}' has type {kind[:40]!r}; only numbers are read, no objects")
    if type(shape) is not tuple or len(shape) > MAX_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise RefusedError(f"array '{name}' has shape {str(shape)[:60]}")
    raw = data.encode("latin-1") if type(data) is str else data
    expected = math.prod(shape) * _CODES[element.code]
    if not isinstance(raw, bytes | bytearray) or len(raw) != expected:
        held = len(raw) if isinstance(raw, bytes | bytearray) else type(raw).__name__
        raise RefusedError(f"array '{name}' says {element.code}{list(shape)}, {expected} bytes, and holds {held}")
    descr = ("|" if _CODES[element.code] == 1 else _ORDERS[element.order].replace("|", "<")) + element.code
    header = f"{{'descr': '{descr}', 'fortran_order': {is_fortran}, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("ascii") + bytes(raw)


def _numbers(name: str, value: Any) -> bytes:
    """A number, or a regular list of numbers, as float64."""
    shape: list[int] = []
    level = [value]
    while level and all(type(item) in (list, tuple) for item in level):
        lengths = {len(item) for item in level}
        if len(lengths) > 1 or len(shape) == MAX_LIST_DEPTH or len(level) * max(lengths) > MAX_ELEMENTS:
            raise RefusedError(f"'{name}' is an irregular list, or one of more than {MAX_ELEMENTS} numbers")
        shape.append(lengths.pop())
        level = [entry for item in level for entry in item]
    kinds = {type(item).__name__ for item in level if type(item) not in (int, float, bool)}
    if kinds:
        raise RefusedError(f"'{name}' holds {', '.join(sorted(kinds))}; only arrays and numbers are read")
    element = _ElementType("f8")
    element.order = "="
    return _npy(name, tuple(shape), element, array.array("d", map(float, level)).tobytes(), False)


def _stop(message: str) -> NoReturn:
    sys.stderr.write(message.encode("ascii", "backslashreplace").decode("ascii") + "\n")
    sys.stderr.flush()
    sys.exit(REFUSED)


def main() -> None:
    """Reads a pickle from standard input within the limits given as arguments, and writes an npz."""
    memory_bytes, cpu_s, output_bytes = (int(argument) for argument in sys.argv[1:4])
    try:
        limit(memory_bytes, cpu_s, output_bytes)
        document = AllowListUnpickler(sys.stdin.buffer, encoding="latin-1").load()
        found = members(document)
        with zipfile.ZipFile(sys.stdout.buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, data in found.items():
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
        sys.stdout.buffer.flush()
    except RefusedError as error:
        _stop(str(error))
    except MemoryError:
        _stop(f"needs more than {memory_bytes} bytes of memory")
    except UNREADABLE as error:
        _stop(f"is not a readable pickle ({type(error).__name__}: {str(error)[:120]})")


if __name__ == "__main__":
    main()
