"""What only a fresh process can tell: how soon the first frame leaves, and how much memory a dance takes at most.

``python -m soulstream_engine.bench.fresh_process`` dances some ticks and prints its own peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from soulstream_engine.backends import BACKENDS
from soulstream_engine.bench.receiver import PacketReceiver
from soulstream_engine.config import ENV_PREFIX
from soulstream_engine.errors import InvariantError

_COMMAND = "from soulstream_engine.cli import main; main()"
_TIMEOUT_S = 120.0


def measure_start(bundle: Path, backend: str, *, seconds: float = 3.0) -> dict[str, float | None]:
    """Runs ``soulstream demo`` in a new process.

    Args:
        bundle: Folder of the model.
        backend: Name of what runs it.
        seconds: Length of the run.

    Returns:
        ``start_idle_s`` and ``start_s``: from the start of the process to the first idle and the first generated frame,
        seconds; ``None`` if there was none in time.

    Raises:
        SinkError: If nothing can be received.
        InvariantError: If the process fails.
    """
    with PacketReceiver(is_kept=False) as receiver:
        options = ["--no-preview", "--no-play", "--seconds", str(seconds), "--json", "--osc", receiver.url]
        options += ["--bundle", str(bundle), "--backend", backend]
        if backend != BACKENDS[0]:
            options += ["--require-backend"]
        summary = _run([sys.executable, "-c", _COMMAND, "demo", *options])
    return {"start_idle_s": summary["first_idle_s"], "start_s": summary["first_generated_s"]}


def measure_memory(bundle: Path, backend: str, *, num_ticks: int) -> dict[str, Any]:
    """Dances in a new process.

    Args:
        bundle: Folder of the model.
        backend: Name of what runs it.
        num_ticks: Ticks to dance.

    Returns:
        ``peak_rss_mb`` (10^6 bytes; ``None`` where the system does not tell) and ``source`` of that number.

    Raises:
        InvariantError: If the process fails.
    """
    module = "soulstream_engine.bench.fresh_process"
    return _run([sys.executable, "-m", module, str(bundle), backend, str(num_ticks)])


def peak_memory() -> tuple[float | None, str]:
    """Largest memory of this process so far, 10^6 bytes, and where the number is from; ``None`` where nobody tells."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6, "VmHWM"
    except OSError:
        pass  # not Linux
    if sys.platform == "win32":
        return None, "not known on Windows"
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6), "ru_maxrss"


def _run(command: list[str]) -> dict[str, Any]:
    """Runs a program of ours and reads the JSON it prints last."""
    settings = {key for key in os.environ if key.startswith(ENV_PREFIX) and "__" in key}
    environment = {key: value for key, value in os.environ.items() if key not in settings} | {"NO_COLOR": "1"}
    try:
        done = subprocess.run(  # noqa: S603 (our own module)
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InvariantError(
            "BENCH_PROCESS",
            f"A process of the benchmark did not end within {_TIMEOUT_S:.0f} s.",
            "Let nothing else run, or use --quick.",
        ) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise InvariantError(
            "BENCH_PROCESS",
            f"A process of the benchmark ended with exit code {done.returncode}: {done.stderr.strip()[-400:]}",
            "Run soulstream doctor.",
        )
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _dance(bundle: str, backend: str, num_ticks: int) -> dict[str, Any]:
    """Body of the process."""
    from soulstream_engine.audio.demo_track import render_demo_track
    from soulstream_engine.backends import open_backend
    from soulstream_engine.bench.lockstep import tick_budget_ms
    from soulstream_engine.bundle import load_bundle
    from soulstream_engine.clock import SAMPLES_PER_FRAME
    from soulstream_engine.runtime.dance import DanceStream

    model = load_bundle(bundle)
    stream = DanceStream(model, backend=open_backend(backend))
    samples = render_demo_track()
    frames = round(num_ticks * tick_budget_ms(model) * 0.03)
    for number in range(frames):
        stream.push(samples[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME])
    peak_mb, source = peak_memory()
    return {"peak_rss_mb": None if peak_mb is None else round(peak_mb, 1), "source": source}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_dance(sys.argv[1], sys.argv[2], int(sys.argv[3]))) + "\n")
