"""Runs all measurements, one topic after the other, and puts the numbers into one result."""

from __future__ import annotations

import re
from typing import Any, Protocol

from soulstream_engine.audio.demo_track import render_demo_track
from soulstream_engine.backends import open_backend
from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.click_to_packet import measure_clicks
from soulstream_engine.bench.clicks import GAP_S, click_track
from soulstream_engine.bench.fresh_process import measure_memory, measure_start
from soulstream_engine.bench.lockstep import measure_ticks, tick_budget_ms
from soulstream_engine.bench.machine import machine_facts, machine_line
from soulstream_engine.bench.made_bundles import int8_bundle, made_bundle
from soulstream_engine.bench.matrix_limit import mask_step_rate, matrix_limit_gflops
from soulstream_engine.bench.options import QUICK, WHOLE, Amount, BenchOptions
from soulstream_engine.bench.paper_loads import measure_paper_loads, wide_mask_rate
from soulstream_engine.bench.receiver import PacketReceiver
from soulstream_engine.bench.stages import stage_numbers
from soulstream_engine.bench.troupe import measure_troupe, threads_for, troupe_numbers
from soulstream_engine.bench.under_load import measure_busy_ticks, measure_pacer
from soulstream_engine.bundle import MANIFEST_NAME, Bundle, default_bundle_path, load_bundle, sha256_of
from soulstream_engine.frames import F32
from soulstream_engine.osc.sender import VmcSender
from soulstream_engine.runtime.network import window_shape
from soulstream_engine.runtime.summary import resident_megabytes

KIND = "soulstream-bench"
"""Value of ``kind`` in every result."""

RESULT_SCHEMA = 1
"""Value of ``schema``: rises when keys change their meaning."""

_PAPER_START_S = 10.0


class Show(Protocol):
    """Who is told how far a benchmark is."""

    def topic(self, text: str) -> None:
        """A topic begins."""

    def share(self, done: float) -> None:
        """So much of the topic is done, 0..1."""

    def note(self, text: str) -> None:
        """Something that people want to know at once."""


def run_bench(options: BenchOptions, show: Show) -> dict[str, Any]:
    """Measures everything.

    Args:
        options: What was asked for.
        show: Told how far it is.

    Returns:
        The result; ``docs/benchmark.md`` explains each key.

    Raises:
        SoulstreamError: If the bundle, the backend or a socket cannot be used.
        KeyboardInterrupt: If it was stopped.
    """
    is_paper = options.preset == "paper"
    folder = made_bundle("paper", note=show.note) if is_paper and options.bundle is None else options.bundle
    if options.is_int8:
        folder = int8_bundle(folder or default_bundle_path(), note=show.note)
    bundle = load_bundle(folder)
    if options.tick_tokens is not None:
        window_shape(bundle.manifest, options.tick_tokens)  # refuses a number that this bundle cannot do
    backend = open_backend(options.backend)
    run = _Run(options, QUICK if options.is_quick else WHOLE, bundle, backend, show)
    result = run.header()
    result |= run.ticks()
    result |= run.clicks(result["realtime_factor"])
    result |= run.dancers(result)
    result |= run.steadiness()
    result |= run.fresh_processes(is_paper)
    result |= run.matrix(is_paper)
    if is_paper:
        result |= run.paper_loads()
    megabytes = resident_megabytes()
    return result | {"rss_mb": None if megabytes is None else round(megabytes, 1)}


class _Run:
    """One benchmark: a method for each topic."""

    def __init__(self, options: BenchOptions, amount: Amount, bundle: Bundle, backend: Backend, show: Show) -> None:
        self._options = options
        self._amount = amount
        self._bundle = bundle
        self._backend = backend
        self._show = show
        self._budget_ms = tick_budget_ms(bundle)
        self._music: F32 = render_demo_track()

    def header(self) -> dict[str, Any]:
        """What was measured with what."""
        manifest = self._bundle.manifest
        threads = re.search(r" x(\d+)", self._backend.name)
        return {
            "kind": KIND,
            "schema": RESULT_SCHEMA,
            "is_quick": self._options.is_quick,
            "preset": self._options.preset or ("stage" if self._options.bundle is None else None),
            "backend": self._backend.name,
            "threads": int(threads[1]) if threads else None,
            "machine": machine_line(),
            "environment": machine_facts(),
            "model": manifest.model_id,
            "bundle_sha256": sha256_of((self._bundle.path / MANIFEST_NAME).read_bytes()),
            "arithmetic": manifest.arithmetic,
        }

    def ticks(self) -> dict[str, Any]:
        """Where the time of a tick goes."""
        self._show.topic("Ticks: where the time goes")
        asked = self._options.ticks_asked(self._budget_ms)
        with PacketReceiver(is_kept=False) as receiver, VmcSender(receiver.url) as sender:
            ticks = measure_ticks(
                self._bundle,
                self._backend,
                self._music,
                sender,
                num_ticks=asked or self._amount.ticks,
                limit_s=None if asked else self._amount.ticks_limit_s,
                seed=self._options.seed,
                warm_up_s=self._amount.warm_up_s,
                progress=self._show.share,
            )
        numbers = stage_numbers(ticks, self._budget_ms)
        return numbers | {"all_tick_ms": [round(tick.compute_ms, 2) for tick in ticks]}

    def clicks(self, realtime_factor: float) -> dict[str, Any]:
        """Click to packet, with the ticks of the bundle and with shorter ones if asked for."""
        count = self._amount.num_clicks(realtime_factor, sum(GAP_S) / 2.0)
        track = click_track(count, self._options.seed)

        def measure(text: str, commit_tokens: int | None) -> dict[str, Any]:
            self._show.topic(text)
            return measure_clicks(
                self._bundle,
                self._backend,
                track,
                seed=self._options.seed,
                commit_tokens=commit_tokens,
                progress=self._show.share,
            )

        found = measure("Click to packet", None)
        tokens = self._options.tick_tokens
        shorter = {} if tokens is None else {str(tokens): measure(f"Click to packet, ticks of {tokens}", tokens)}
        latency, soonest = found["ms"] or {}, found["soonest_ms"] or {}
        return {
            "click_to_packet_ms_p50": latency.get("p50"),
            "click_to_packet_ms_p95": latency.get("p95"),
            "click_to_packet_ms_max": latency.get("max"),
            "soonest_packet_ms_p50": soonest.get("p50"),
            "soonest_packet_ms_p95": soonest.get("p95"),
            "click_to_packet": found,
            "click_to_packet_by_tick_tokens": shorter,
        }

    def dancers(self, so_far: dict[str, Any]) -> dict[str, Any]:
        """How many dancers fit on a core."""
        count = self._options.dancers
        if count == 1:
            return troupe_numbers(so_far["all_tick_ms"], 1, self._budget_ms)
        self._show.topic(f"{count} dancers")
        times_ms = measure_troupe(
            self._bundle,
            self._backend,
            self._music,
            count=count,
            num_ticks=self._amount.dancer_ticks,
            seed=self._options.seed,
            warm_up_s=self._amount.warm_up_s,
            progress=self._show.share,
        )
        return troupe_numbers(times_ms, count, self._budget_ms, threads_for(count, self._backend))

    def steadiness(self) -> dict[str, Any]:
        """Beside a busy process, and at the output rates."""
        self._show.topic("Beside a busy process")
        busy = measure_busy_ticks(
            self._bundle,
            self._backend,
            self._music,
            num_ticks=self._amount.load_ticks,
            seed=self._options.seed,
            warm_up_s=self._amount.warm_up_s,
            progress=self._show.share,
        )
        self._show.topic("The pacer at every output rate")
        pacer = measure_pacer(
            self._bundle,
            self._backend,
            seconds=self._amount.pacer_s,
            seed=self._options.seed,
            progress=self._show.share,
        )
        return {"busy": busy, "pacer": pacer}

    def fresh_processes(self, is_large: bool) -> dict[str, Any]:
        """Start-up and memory."""
        self._show.topic("Start-up")
        name, folder = self._options.backend, self._bundle.path
        seconds = _PAPER_START_S if is_large else self._amount.start_s
        start = measure_start(folder, name, seconds=seconds)
        self._show.topic("Memory")
        memory = measure_memory(folder, name, num_ticks=self._amount.memory_ticks)
        return start | {"peak_rss_mb": memory["peak_rss_mb"], "peak_rss_source": memory["source"]}

    def matrix(self, is_paper: bool) -> dict[str, Any]:
        """The mask step against the limit of this machine, which is tried before and after."""
        self._show.topic("Matrix limit of this machine")
        before = matrix_limit_gflops(seconds=self._amount.matrix_s / 2.0)
        self._show.share(0.4)
        steps = [mask_step_rate(self._bundle, self._backend, repeats=self._amount.step_repeats)]
        if is_paper:
            repeats, is_int8 = self._amount.step_repeats, self._options.is_int8
            steps.append(wide_mask_rate(self._backend, repeats=repeats, is_int8=is_int8, note=self._show.note))
        self._show.share(0.6)
        limit = max(before, matrix_limit_gflops(seconds=self._amount.matrix_s / 2.0))
        for step in steps:
            for name in ("p50", "best"):
                rate = step[f"gflops_{name}"]
                step[f"limit_share_{name}"] = None if rate is None else round(rate / limit, 4)
        return {"matrix_limit_gflops": round(limit, 1), "mask_steps": {str(s["planned_tokens"]): s for s in steps}}

    def paper_loads(self) -> dict[str, Any]:
        """The loads of the paper's size."""
        self._show.topic("Loads at the paper's size")
        return {
            "paper_loads": measure_paper_loads(
                self._backend,
                num_ticks=self._amount.paper_ticks,
                limit_s=self._amount.paper_limit_s,
                is_int8=self._options.is_int8,
                note=self._show.note,
                progress=self._show.share,
            )
        }
