"""Each measurement on a toy model: what is measured is what dances, and nothing is made up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from soulstream_engine.backends import open_backend
from soulstream_engine.bench.click_to_packet import measure_clicks
from soulstream_engine.bench.clicks import click_track
from soulstream_engine.bench.fresh_process import measure_memory
from soulstream_engine.bench.hog import busy_neighbour
from soulstream_engine.bench.lockstep import COMPUTE, STAGES, measure_ticks, tick_budget_ms
from soulstream_engine.bench.made_bundles import made_bundle
from soulstream_engine.bench.matrix_limit import mask_step_rate
from soulstream_engine.bench.reaction import find_reactions
from soulstream_engine.bench.receiver import PacketReceiver, arrivals
from soulstream_engine.bench.stages import stage_numbers
from soulstream_engine.bench.step_driver import Load, measure_load
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.frames import ALL_PARTS, PoseFrame, Provenance
from soulstream_engine.motion.idle import idle_pose
from soulstream_engine.osc.sender import VmcSender


class Sink:
    """Counts what is sent and makes it take a while."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.indices: list[int] = []
        self._delay_s = delay_s

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        self.indices.append(frame.index)
        until = time.perf_counter() + self._delay_s
        while time.perf_counter() < until:
            pass


def idle_frame(index: int) -> PoseFrame:
    root, joints, face = idle_pose(index, np.zeros(3), 0.0)
    return PoseFrame(index, root, joints, face, np.ones(4, np.float32), Provenance.IDLE, ALL_PARTS)


def test_a_receiver_in_another_process_gets_every_frame_with_its_time() -> None:
    before_ns = time.monotonic_ns()
    with PacketReceiver() as receiver, VmcSender(receiver.url) as sender:
        for index in range(5):
            sender.send(idle_frame(index), index / FPS)
        time.sleep(0.2)
        packets = receiver.stop()
    found = arrivals(packets, FPS)
    assert sorted(found) == list(range(5))
    assert len(packets) > len(found)  # a frame is several datagrams
    times = [before_ns, *(found[index].at_ns for index in range(5)), time.monotonic_ns()]
    assert times == sorted(times)


def test_every_millisecond_of_a_tick_is_some_stage_s(toy_bundle: Bundle) -> None:
    sink = Sink(delay_s=0.001)
    ticks = measure_ticks(toy_bundle, open_backend(), click_track(1).sound(), sink, num_ticks=12, warm_up_s=1.0)
    numbers = stage_numbers(ticks, tick_budget_ms(toy_bundle))
    assert len(ticks) == numbers["ticks"] == 12
    assert sink.indices == list(range(len(sink.indices)))
    for tick in ticks:
        assert all(tick.ms[name] >= 0.0 for name in STAGES)
        assert all(tick.ms[name] > 0.0 for name in ("features", "music", "mask", "residual", "commit", "decoder"))
        assert tick.compute_ms == pytest.approx(sum(tick.ms[name] for name in COMPUTE))
        assert tick.network_ms < tick.compute_ms
        assert tick.ms["send"] >= 7 * 1.0  # eight frames a tick, a millisecond each
    assert 0.0 < numbers["not_network_share_of_budget"] < numbers["not_network_share"] < 1.0
    assert numbers["tick_ms_p50"] <= numbers["tick_ms_p99"] <= numbers["tick_ms_max"]
    assert numbers["tick_budget_ms"] == pytest.approx(266.67)


def test_nothing_answers_a_click_that_cannot_be_heard(toy_bundle: Bundle) -> None:
    track = click_track(2, loudness=0.0)
    _, reactions = find_reactions(toy_bundle, open_backend(), track)
    assert [one.answer for one in reactions] == [None, None]


def test_an_answer_comes_after_its_click_and_not_before_the_engine_could(toy_bundle: Bundle) -> None:
    track = click_track(3)
    frames, reactions = find_reactions(toy_bundle, open_backend(), track)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    answered = [one for one in reactions if one.answer is not None]
    assert answered
    for one in answered:
        assert one.answer is not None
        assert one.answer.frame.index >= one.soonest.frame.index
        assert one.soonest.frame.index / FPS > one.sample / SAMPLE_RATE
        assert one.answer.tick >= one.soonest.tick


def test_clicks_travel_through_a_live_session_to_the_receiver(toy_bundle: Bundle) -> None:
    shares: list[float] = []
    found = measure_clicks(toy_bundle, open_backend(), click_track(2), progress=shares.append)
    assert found["clicks"] == 2
    assert found["answered"] >= found["arrived"] == len(found["all_ms"])
    assert found["arrived"] > 0
    assert found["ms"]["p50"] <= found["ms"]["p95"] <= found["ms"]["max"]
    parts = found["parts_ms"]
    assert parts["audio"] >= 0.0
    assert parts["wait"] >= 0.0
    assert parts["pacer"] >= 0.0
    assert parts["lead"] == pytest.approx(200.0, abs=11.0)  # 8 frames of lead less 2 of look-ahead, in 10 ms blocks
    assert found["soonest_ms"]["p50"] <= found["ms"]["max"]
    assert shares == sorted(shares)


def test_a_load_has_the_rounds_it_says(toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from soulstream_engine.runtime.network import Network

    calls: list[str] = []
    run = Network.run

    def counted(self: Network, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(name)
        return run(self, name, inputs)

    monkeypatch.setattr(Network, "run", counted)
    times = measure_load(toy_bundle, open_backend(), Load(iterations=10, residual_passes=1), num_ticks=4)
    assert len(times) == 4
    ticks = calls.count("decoder")
    assert calls.count("music") == ticks
    assert calls.count("mask") == 10 * ticks
    assert calls.count("residual") == ticks
    assert calls.count("mask_one") == calls.count("residual_one") == ticks  # committing


def test_the_mask_step_is_counted_at_the_size_it_runs(toy_bundle: Bundle) -> None:
    rate = mask_step_rate(toy_bundle, open_backend(), repeats=5)
    assert rate["planned_tokens"] == 8
    assert rate["rows"] == 2 * 3 * 8
    assert rate["ms_best"] <= rate["ms_p50"]
    assert 0.0 < rate["gflops_p50"] <= rate["gflops_best"]


def test_memory_of_a_fresh_process_is_larger_than_its_interpreter(toy_bundle: Bundle) -> None:
    found = measure_memory(toy_bundle.path, "onnxruntime", num_ticks=3)
    assert found["peak_rss_mb"] is None or found["peak_rss_mb"] > 20.0
    assert found["source"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc to see a process end")
def test_the_busy_neighbour_leaves_with_us() -> None:
    with busy_neighbour() as pid:
        assert Path(f"/proc/{pid}").is_dir()
        assert pid != os.getpid()
    assert not Path(f"/proc/{pid}").is_dir()


def test_a_bundle_of_a_size_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    notes: list[str] = []
    note: Callable[[str], None] = notes.append
    folder = made_bundle("toy", 4, 4, note=note)
    assert folder.is_relative_to(tmp_path)
    assert load_bundle(folder).manifest.sampler.commit_tokens == 4
    assert made_bundle("toy", 4, 4, note=note) == folder
    assert len(notes) == 1
