"""What the numbers were measured with: computer, system, versions, commit."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from soulstream_engine import __version__
from soulstream_engine.runtime import real_time

_PACKAGES = ("numpy", "scipy", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "aubio-ledfx", "python-osc")
_BLAS = ("OPENBLAS_", "OMP_", "MKL_", "GOTO_", "BLIS_", "VECLIB_")
_GIT_TIMEOUT_S = 5.0

SAME = ("cpu", "cores", "os")
"""What must be equal for two results to be of one kind of machine."""


def machine_facts() -> dict[str, Any]:
    """``cpu cores os python versions soulstream commit is_modified blas_variables real_time``.

    ``None`` where the system does not tell; ``commit`` only in a checkout of soulstream; ``real_time`` says whether
    threads may ask for real-time priority, which decides how late the pacer is on a busy machine.
    """
    commit, is_modified = _commit()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "soulstream": __version__,
        "commit": commit,
        "is_modified": is_modified,
        "blas_variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_BLAS)},
        "real_time": _may_be_real_time(),
    }


def machine_line() -> str:
    """The machine in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _cpu_model() -> str | None:
    """Name of the processor: of the kernel where it says so, else of Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this package lies in and whether it was changed since; ``None`` outside of one."""
    package = Path(__file__).resolve().parents[1]
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() / "engine" / package.name != package:
        return None, None
    status = _git(package, "status", "--porcelain", "--untracked-files=no")
    return _git(package, "rev-parse", "HEAD"), None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments)
            [program, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _may_be_real_time() -> bool:
    """Asks for it on a thread of its own and lets that end."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(real_time.ask_for(threading.current_thread())))
    thread.start()
    thread.join()
    return answers == [True]
