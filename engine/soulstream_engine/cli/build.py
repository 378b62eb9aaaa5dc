"""``soulstream build``: compiles the model for the NVIDIA GPU of this computer ahead of the show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soulstream_engine.cli.output import console, print_json, say
from soulstream_engine.cli.run import Precision
from soulstream_engine.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from soulstream_engine.bundle import Bundle
    from soulstream_engine.manifest import StepSpec


def build(
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Another model.", show_default="the embedded one")
    ] = None,
    backend: Annotated[str, typer.Option(metavar="tensorrt-rtx|tensorrt", help="What is to run it.")] = "tensorrt-rtx",
    precision: Precision = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Only try whether it compiles; no GPU is needed, nothing is kept.")
    ] = False,
    compute_capability: Annotated[
        str | None,
        typer.Option(metavar="X.Y", help="With --check-only: for which GPU.", show_default="8.9 (Ada)"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --check-only: write what was compiled there.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Compile the model for the NVIDIA GPU of this computer, so that the show starts at full speed.

    Examples:
      soulstream build
      soulstream build --bundle big_model --backend tensorrt --precision fp32
      soulstream build --check-only --compute-capability 8.9

    Every compiled step is compared with ONNX Runtime. What was compiled is kept in the user's cache folder; another
    driver, GPU, version or model compiles anew.
    """
    from soulstream_engine.backends.plan_builder import FLAVOURS
    from soulstream_engine.bundle import load_bundle
    from soulstream_engine.clock import monotonic_ns
    from soulstream_engine.config import resolve

    chosen = resolve(options={"model.backend": backend, "model.precision": precision})[0].model
    if backend not in FLAVOURS:
        raise ConfigError(
            "CONFIG_BACKEND", f"--backend is {backend!r}, which compiles nothing.", f"Name {' or '.join(FLAVOURS)}."
        )
    if not check_only and (compute_capability is not None or out is not None):
        raise ConfigError(
            "CONFIG_BUILD",
            "--compute-capability and --out are for --check-only.",
            "Add --check-only or leave them out.",
        )
    model = load_bundle(bundle)
    started_ns = monotonic_ns()
    if check_only:
        result = _check(model, backend, chosen.precision, compute_capability or "8.9", out)
    else:
        result = _build(model, backend, chosen.precision)
    seconds = (monotonic_ns() - started_ns) / 1e9
    total = sum(plan["bytes"] for plan in result["plans"]) / 1e6
    say(f"{len(result['plans'])} plans, {total:.1f} MB, {seconds:.1f} s.", "green")
    if as_json:
        print_json(
            {"model": model.manifest.model_id, "precision": chosen.precision, "seconds": round(seconds, 2)} | result
        )


def _build(model: Bundle, flavour: str, precision: str) -> dict[str, Any]:
    """Compiles and compares every step here, and keeps the plans."""
    from soulstream_engine.backends import open_backend
    from soulstream_engine.backends.agreement import TOLERANCES, CheckedBackend
    from soulstream_engine.backends.tensorrt import PlanReport, TensorRtBackend
    from soulstream_engine.runtime.network import Network

    reports: list[PlanReport] = []
    with _progress(model) as tell:

        def note(report: PlanReport) -> None:
            reports.append(report)
            tell(report.step, 1.0)

        inner = TensorRtBackend(flavour, precision, on_progress=tell, on_plan=note)
        checked = CheckedBackend(inner, open_backend(), TOLERANCES[precision])
        Network(model, checked)
    plans = []
    for report in reports:
        origin = f"compiled, because {report.reason}" if report.was_built else "from the cache"
        difference = checked.differences[report.step]
        say(f"{report.step}: {origin}; {report.num_bytes / 1e6:.1f} MB; differs from ONNX Runtime by {difference:.1e}")
        plans.append(
            {
                "step": report.step,
                "built": report.was_built,
                "reason": report.reason,
                "bytes": report.num_bytes,
                "difference": difference,
            }
        )
    return {"backend": checked.name, "folder": str(inner.cache_folder), "plans": plans}


def _check(model: Bundle, flavour: str, precision: str, capability: str, out: Path | None) -> dict[str, Any]:
    """Compiles every step for a GPU that need not be here."""
    from soulstream_engine.backends.plan_builder import TensorRt, compile_for
    from soulstream_engine.clock import monotonic_ns

    if re.fullmatch(r"\d{1,2}\.\d", capability) is None:
        raise ConfigError(
            "CONFIG_CAPABILITY", f"--compute-capability is {capability!r}.", "Write it like 8.9; nvidia-smi shows it."
        )
    runtime = TensorRt(flavour)
    plans: list[dict[str, Any]] = []
    with _progress(model) as tell:
        for name, (graph, spec) in _different_steps(model).items():
            started_ns = monotonic_ns()
            plan = compile_for(runtime, graph, spec, precision, capability, tell)
            if out is not None:
                _write(out / f"{name}.plan", plan)
            seconds = round((monotonic_ns() - started_ns) / 1e9, 2)
            plans.append({"step": name, "bytes": len(plan), "seconds": seconds})
    for item in plans:
        say(f"{item['step']}: {item['bytes'] / 1e6:.1f} MB in {item['seconds']} s")
    return {"backend": f"{runtime.flavour} {runtime.version}", "compute_capability": capability, "plans": plans}


def _different_steps(model: Bundle) -> dict[str, tuple[bytes, StepSpec]]:
    """Graph and signature of every step by name; a second step of the same graph and sizes is left out."""
    different = {(spec.file, tuple(sorted(spec.sizes.items()))): spec for spec in reversed(model.manifest.steps)}
    return {spec.name: (model.graphs[spec.name], spec) for spec in reversed(different.values())}


@contextmanager
def _progress(model: Bundle) -> Iterator[Callable[[str, float], bool]]:
    """A bar with an estimate; gives the function that moves it (``plan_progress.OnProgress``)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from soulstream_engine.backends.plan_progress import Preparation

    preparation = Preparation({name: len(graph) for name, (graph, _) in _different_steps(model).items()})
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("Compiling", total=1.0)

        def tell(name: str, share: float) -> bool:
            preparation.tell(name, share)
            bar.update(task, completed=preparation.share, description=f"Compiling {name}")
            return True

        yield tell


def _write(path: Path, plan: memoryview) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plan)
    except OSError as error:
        raise SinkError(
            "SINK_FILE", f"'{path}' cannot be written: {error.strerror}.", "Name another folder with --out."
        ) from error
