"""How far a backend is from torch: scores, codes and motion of the same calls, each beside its tolerance.

Letters: see ``parity_tape``. Not for: speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Backend
from soulstream_engine.backends.openvino import OpenVinoBackend
from soulstream_engine.backends.tensorrt import TensorRtBackend
from soulstream_engine.bundle import Bundle
from soulstream_engine.errors import BackendError, BundleError
from soulstream_engine.runtime.network import Network
from soulstream_engine.sampling.window import FOR_ONE, RunStep

from .parity_tape import Tape, record_tape
from .torch_reference import TorchReference

Arithmetic = Literal["float32", "float16", "bfloat16", "int8"]
"""What a backend computes the large products in."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Limits of one arithmetic.

    ``logit`` of the largest error of a score, ``other`` of that of every other output. Both are shares of the range of
    what torch gives, unless ``is_absolute``: then ``logit`` is in units of the score. ``codes_equal`` is the least
    share of codes that equal noise must draw equal.
    """

    logit: float
    other: float
    codes_equal: float = 0.0
    is_absolute: bool = False


TOLERANCES: dict[Arithmetic, Tolerance] = {
    "float32": Tolerance(1e-4, 1e-4, 0.999, is_absolute=True),
    "float16": Tolerance(2e-2, 2e-2),
    "bfloat16": Tolerance(2e-2, 2e-2),
    "int8": Tolerance(1e-1, 1e-1),
}
"""Scores of order 10 in FP32 differ by the order of additions alone. bfloat16 has 8 bits of mantissa; what it draws
differs where two codes are nearly as good. For int8 the judged table decides, this limit only finds what is broken."""

CANDIDATES: dict[str, tuple[Callable[[], Backend], Arithmetic]] = {
    "onnxruntime": (open_backend, "float32"),
    "openvino": (OpenVinoBackend, "float32"),
    "openvino-bf16": (lambda: OpenVinoBackend(precision="bf16"), "bfloat16"),
    "tensorrt": (lambda: TensorRtBackend("tensorrt"), "float16"),
    "tensorrt-fp32": (lambda: TensorRtBackend("tensorrt", "fp32"), "float32"),
    "tensorrt-rtx": (lambda: TensorRtBackend("tensorrt-rtx"), "float16"),
    "tensorrt-rtx-fp32": (lambda: TensorRtBackend("tensorrt-rtx", "fp32"), "float32"),
}
"""What can be compared by name: how it is opened and what it computes in."""


class Check(NamedTuple):
    """A number beside its limit, as text, and whether it is within."""

    what: str
    measured: str
    limit: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Parity:
    """One backend against torch.

    Attributes:
        runtime: Its name and version.
        arithmetic: Which limits hold.
        max_abs_logit: Largest error of a score.
        max_rel_logit: The same as a share of the range of all scores of that stage.
        codes_equal: Share of the codes that equal noise drew equal.
        max_abs_motion: Largest error of a motion column, raw units.
        max_rel_motion: The same as a share of the range of all columns.
        max_rel_other: Largest error of anything else that a step gives (music tokens, keys and values, decoder states,
            pace), as a share of the range of that output.
    """

    runtime: str
    arithmetic: Arithmetic
    max_abs_logit: float
    max_rel_logit: float
    codes_equal: float
    max_abs_motion: float
    max_rel_motion: float
    max_rel_other: float

    def checks(self) -> list[Check]:
        """Every number that has a limit, beside it."""
        limit = TOLERANCES[self.arithmetic]
        score = self.max_abs_logit if limit.is_absolute else self.max_rel_logit
        unit = "" if limit.is_absolute else ", share of their range"
        least = f"{limit.codes_equal:.1%}" if limit.codes_equal else "none"
        equal, motion, rest = self.codes_equal, self.max_rel_motion, self.max_rel_other
        return [
            Check(f"scores{unit}", f"{score:.1e}", f"{limit.logit:.0e}", score <= limit.logit),
            Check("codes equal", f"{equal:.2%}", least, equal >= limit.codes_equal),
            Check("motion, share of its range", f"{motion:.1e}", f"{limit.other:.0e}", motion <= limit.other),
            Check("the rest, share of its range", f"{rest:.1e}", f"{limit.other:.0e}", rest <= limit.other),
        ]

    @property
    def ok(self) -> bool:
        """Whether every number is within its limit; one that is not a number is not."""
        return all(check.is_met for check in self.checks())

    def to_json(self) -> dict[str, Any]:
        """All numbers, their limits, and whether they hold."""
        return asdict(self) | {"tolerance": asdict(TOLERANCES[self.arithmetic]), "ok": self.ok}


def reference_tape(bundle: Bundle, reference: Bundle | None, ticks: int, seed: int = 0) -> Tape:
    """The dance of the torch networks.

    Args:
        bundle: What is to be compared.
        reference: Bundle whose weights torch takes; ``None``: those of ``bundle``.
        ticks: Length of the dance.
        seed: Of its draws.

    Returns:
        Calls and outputs of torch.

    Raises:
        BundleError: If the weights cannot be read back, or the two bundles have other steps.
        ConfigError: If the track is too short.
    """
    source = reference or bundle
    if source.manifest.steps != bundle.manifest.steps or source.manifest.sampler != bundle.manifest.sampler:
        raise BundleError(
            "REFERENCE_OTHER",
            f"Bundle '{source.path}' has other steps or another sampler than '{bundle.path}'.",
            "Name the bundle that it was made from.",
        )
    return record_tape(source, TorchReference(source).run, ticks, seed)


def compare(tape: Tape, run_step: RunStep, runtime: str, arithmetic: Arithmetic) -> Parity:
    """Plays a tape back.

    Args:
        tape: Calls and outputs of torch.
        run_step: The network of a backend.
        runtime: Name of the backend.
        arithmetic: What it computes in.

    Returns:
        The largest differences over all calls.

    Raises:
        BackendError: If a step fails.
    """
    found: dict[tuple[str, str], _Error] = defaultdict(_Error)
    equal = drawn = 0
    for call in tape.calls:
        outputs = run_step(call.step, call.inputs)
        for name, wanted in call.outputs.items():
            found[call.step.removesuffix(FOR_ONE), name].add(outputs[name], wanted)
        if call.noise is not None:
            same = tape.codes(call, outputs["logits"]) == tape.codes(call, call.outputs["logits"])
            equal, drawn = equal + int(same.sum()), drawn + same.size
    logits, motion = ([error for (_, name), error in found.items() if name == kind] for kind in ("logits", "motion"))
    rest = [error for (_, name), error in found.items() if name not in ("logits", "motion")]
    return Parity(
        runtime=runtime,
        arithmetic=arithmetic,
        max_abs_logit=largest(error.largest for error in logits),
        max_rel_logit=largest(error.share for error in logits),
        codes_equal=equal / drawn,
        max_abs_motion=largest(error.largest for error in motion),
        max_rel_motion=largest(error.share for error in motion),
        max_rel_other=largest(error.share for error in rest),
    )


@dataclass(slots=True)
class _Error:
    """Largest error of one output over all calls so far, and the range of what was wanted."""

    largest: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, found: NDArray[Any], wanted: NDArray[Any]) -> None:
        self.largest = largest((self.largest, np.abs(found - wanted).max()))
        self.lowest, self.highest = min(self.lowest, wanted.min()), max(self.highest, wanted.max())

    @property
    def share(self) -> float:
        """The error as a share of the range."""
        return self.largest / max(self.highest - self.lowest, _SMALLEST_RANGE)


_SMALLEST_RANGE = 1e-6
"""Least range that an error is a share of."""


def largest(values: Iterable[float]) -> float:
    """The largest value; not a number if one is not."""
    return float(np.max(list(values)))


class Verified(NamedTuple):
    """What became of every backend, by name.

    Attributes:
        measured: What was compared.
        absent: Why others were not: they cannot be opened here, or refuse the bundle.
        failed: Why others, which took the bundle, broke off.
    """

    measured: dict[str, Parity]
    absent: dict[str, str]
    failed: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether something was compared, all of it is within its limits, and nothing broke off."""
        return bool(self.measured) and not self.failed and all(found.ok for found in self.measured.values())


def verify(
    bundle: Bundle, tape: Tape, names: Sequence[str], on_backend: Callable[[str], None] = lambda name: None
) -> Verified:
    """Compares backends with torch.

    Args:
        bundle: What they run.
        tape: What torch gave (``reference_tape``).
        names: Of ``CANDIDATES``; none: all that can run here.
        on_backend: Told the name before each.

    Returns:
        What was measured, why others do not run here, and why others broke off.

    Raises:
        BackendError: If a backend that was named cannot be opened or refuses the bundle.
    """
    done = Verified({}, {}, {})
    for name in names or CANDIDATES:
        opened, arithmetic = CANDIDATES[name]
        on_backend(name)
        try:
            network = Network(bundle, opened())
        except BackendError as error:
            if names:
                raise
            done.absent[name] = error.message
            continue
        kind: Arithmetic = "int8" if bundle.manifest.arithmetic == "int8" else arithmetic
        try:
            done.measured[name] = compare(tape, network.run, network.backend_name, kind)
        except BackendError as error:
            done.failed[name] = error.message
    return done
