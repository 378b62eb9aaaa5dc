"""What this machine can do at most in FP32 on one thread, and how much of it the mask step reaches.

The limit is numpy's matrix product in a process of its own: one thread, and without the variables that make OpenBLAS
take the kernels of another processor. ``python -m soulstream_engine.bench.matrix_limit`` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from soulstream_engine.backends.base import Arrays, Backend
from soulstream_engine.bench.flops import hidden_width, stage_flops, stage_size
from soulstream_engine.bench.spread import percentile
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.errors import InvariantError
from soulstream_engine.manifest import StepSpec
from soulstream_engine.runtime.network import window_shape

SIZES = (512, 1024, 1536, 2048)
"""Sides of the square matrices; the fastest counts."""

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_TIMEOUT_S = 120.0
_STEP_WARM_UP = 3


def matrix_limit_gflops(*, seconds: float = 2.0, sizes: Sequence[int] = SIZES) -> float:
    """Most GFLOP/s of an FP32 matrix product on one thread here.

    Args:
        seconds: How long to try, all sizes together.
        sizes: Sides of the matrices.

    Raises:
        InvariantError: If the process fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment |= dict.fromkeys(_THREAD_VARIABLES, "1")
    command = [sys.executable, "-m", "soulstream_engine.bench.matrix_limit", str(seconds), *map(str, sizes)]
    try:
        done = subprocess.run(  # noqa: S603 (our own module)
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S + seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InvariantError(
            "BENCH_MATRIX_LIMIT",
            f"Multiplying matrices did not end within {_TIMEOUT_S + seconds:.0f} s.",
            "Let nothing else run.",
        ) from error
    if done.returncode != 0:
        raise InvariantError(
            "BENCH_MATRIX_LIMIT",
            f"Multiplying matrices ended with exit code {done.returncode}: {done.stderr[-300:]}",
            "Please report this.",
        )
    return float(json.loads(done.stdout))


def mask_step_rate(bundle: Bundle, backend: Backend, *, repeats: int = 50, seed: int = 0) -> dict[str, Any]:
    """How fast the mask step computes, at the size at which the sampler runs it most.

    Args:
        bundle: Verified model.
        backend: What runs it.
        repeats: Timed runs, 1 or more.
        seed: Of the numbers that are fed in.

    Returns:
        ``planned_tokens plans rows``, ``gflop`` of a pass, ``ms_p50 ms_best``, ``gflops_p50 gflops_best``; ``None``
        where the graph does not tell its widths.
    """
    manifest = bundle.manifest
    spec, shape, graph = manifest.step("mask"), window_shape(manifest), bundle.graphs["mask"]
    step = backend.load(graph, spec.name, spec)
    inputs = random_inputs(spec, shape.num_codes, seed)
    times_ms: list[float] = []
    for number in range(repeats + _STEP_WARM_UP):
        begin_ns = monotonic_ns()
        step.run(inputs)
        if number >= _STEP_WARM_UP:
            times_ms.append((monotonic_ns() - begin_ns) / 1e6)
    hidden = hidden_width(graph, shape.heads * shape.head_width, shape.layers)
    size = None if hidden is None else stage_size(shape, hidden, shape.candidates)
    flops = None if size is None else stage_flops(size)
    return {
        "planned_tokens": shape.planned,
        "plans": shape.candidates,
        "rows": shape.halves * shape.candidates * shape.positions,
        "gflop": None if flops is None else round(flops / 1e9, 4),
        "ms_p50": round(percentile(times_ms, 50.0), 3),
        "ms_best": round(min(times_ms), 3),
        "gflops_p50": None if flops is None else round(flops / percentile(times_ms, 50.0) / 1e6, 1),
        "gflops_best": None if flops is None else round(flops / min(times_ms) / 1e6, 1),
    }


def random_inputs(spec: StepSpec, num_codes: int, seed: int = 0) -> Arrays:
    """Inputs of a stage's step by name: everything valid, codes at random, half of them seen."""
    generator = np.random.default_rng(seed)
    inputs: Arrays = {}
    for tensor in spec.inputs:
        if tensor.name == "codes":
            inputs[tensor.name] = generator.integers(0, num_codes, tensor.shape)
        elif tensor.dtype != "float32" or tensor.name == "committing":
            inputs[tensor.name] = np.zeros(tensor.shape, tensor.dtype)
        elif tensor.name.endswith("_valid"):
            inputs[tensor.name] = np.ones(tensor.shape, np.float32)
        elif tensor.name == "level_seen":
            inputs[tensor.name] = (generator.random(tensor.shape) < 0.5).astype(np.float32)
        else:
            inputs[tensor.name] = generator.standard_normal(tensor.shape).astype(np.float32)
    return inputs


def _multiply(seconds: float, sizes: Sequence[int]) -> float:
    """Body of the process: best GFLOP/s."""
    best = 0.0
    for size in sizes:
        left, right = np.random.default_rng(0).standard_normal((2, size, size)).astype(np.float32)
        result = left @ right
        until_ns = monotonic_ns() + int(seconds / len(sizes) * 1e9)
        while True:
            begin_ns = monotonic_ns()
            np.matmul(left, right, out=result)
            end_ns = monotonic_ns()
            best = max(best, 2.0 * size**3 / (end_ns - begin_ns))
            if end_ns > until_ns:
                break
    return best


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_multiply(float(sys.argv[1]), [int(size) for size in sys.argv[2:]])) + "\n")
