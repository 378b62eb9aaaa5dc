"""Two results side by side: the ratio of every number that both have."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soulstream_engine.bench.machine import SAME
from soulstream_engine.bench.runner import KIND, RESULT_SCHEMA
from soulstream_engine.errors import ConfigError

_MAKE = "Make one with: soulstream bench --json > result.json"
_NOT_MEASURED = ("schema", "threads", "environment")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of comparing A with B: ``numbers`` name -> (A, B), in the order of A, and ``warnings`` for people."""

    numbers: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]

    @property
    def ratios(self) -> dict[str, float | None]:
        """B / A by name; ``None`` where A is 0."""
        return {name: None if a == 0.0 else round(b / a, 4) for name, (a, b) in self.numbers.items()}


def read_result(path: Path) -> dict[str, Any]:
    """Reads what ``soulstream bench --json`` printed; lines before the last are ignored.

    Args:
        path: The file.

    Raises:
        ConfigError: If it cannot be read or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("BENCH_FILE", f"'{path}' cannot be read as text: {error}.", _MAKE) from error
    try:
        result = json.loads(lines[-1]) if lines else None
    except (ValueError, RecursionError) as error:
        raise ConfigError("BENCH_FILE", f"'{path}' holds no JSON in its last line: {error}.", _MAKE) from error
    if not isinstance(result, dict) or result.get("kind") != KIND:
        kind = result.get("kind") if isinstance(result, dict) else type(result).__name__
        raise ConfigError("BENCH_FILE", f"'{path}' is no result of a benchmark: kind {kind!r}, not {KIND!r}.", _MAKE)
    if result.get("schema") != RESULT_SCHEMA:
        raise ConfigError(
            "BENCH_FILE",
            f"'{path}' has schema {result.get('schema')!r}, this soulstream compares {RESULT_SCHEMA}.",
            "Measure again with this version.",
        )
    return result


def compare(first: dict[str, Any], second: dict[str, Any]) -> Comparison:
    """Sets two results side by side.

    Args:
        first: A.
        second: B.

    Returns:
        All finite numbers that stand under the same name in both (lists and counts of the machine left out), and a
        warning for everything that makes their ratio doubtful.
    """
    ours, theirs = _flat(first), _flat(second)
    return Comparison({name: (ours[name], theirs[name]) for name in ours if name in theirs}, _doubts(first, second))


def _doubts(first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    machines = [result.get("environment") or {} for result in (first, second)]
    found = [
        f"The machines differ: {name} is {machines[0].get(name)!r} and {machines[1].get(name)!r}."
        for name in SAME
        if machines[0].get(name) != machines[1].get(name)
    ]
    for name, text in (("model", "models"), ("backend", "backends"), ("arithmetic", "arithmetics")):
        if first.get(name) != second.get(name):
            found.append(f"The {text} differ: {first.get(name)!r} and {second.get(name)!r}.")
    if first.get("bundle_sha256") != second.get("bundle_sha256"):
        hashes = [str(result.get("bundle_sha256"))[:16] for result in (first, second)]
        found.append(f"The bundles differ: their manifests have SHA-256 {hashes[0]} and {hashes[1]}.")
    if first.get("is_quick") or second.get("is_quick"):
        found.append("At least one was measured with --quick: percentiles above the median mean nothing.")
    return tuple(found)


def _flat(result: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in result.items():
        name = f"{prefix}{key}"
        if name in _NOT_MEASURED or isinstance(value, bool):
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        elif isinstance(value, int | float) and math.isfinite(value):
            found[name] = float(value)
    return found
