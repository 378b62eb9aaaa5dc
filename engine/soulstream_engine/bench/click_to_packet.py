"""Click to packet: from the moment at which a click sounds to the arrival of the first packet that answers it.

Everything between is real: a session with its threads, a source that plays in real time, the VMC sender, the network
stack, a receiver in another process. Which frame answers is known beforehand (``reaction``); the live run says when it
arrived. A frame counts only if it arrived as it was danced beforehand, byte for byte.

``latency = audio + wait + lead + pacer``:

- ``audio``: until the feature frame with the click is complete and its last block delivered;
- ``wait``: until the tick that answers (longer than a tick where an earlier one heard the click and changed nothing);
- ``lead``: from that tick to the moment at which its first changed frame is due; the tick's ``compute`` lies inside;
- ``pacer``: from there to the arrival: lateness of the pacer, sending, the network stack, waking the receiver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.paced import PacedSource
from soulstream_engine.audio.protocol import BLOCK_SAMPLES, start_now
from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.clicks import ClickTrack
from soulstream_engine.bench.live_run import run_live
from soulstream_engine.bench.reaction import Made, Reaction, find_reactions
from soulstream_engine.bench.receiver import Arrival, arrivals
from soulstream_engine.bench.spread import percentile, spread
from soulstream_engine.bench.timing import TimedBackend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import (
    FPS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_due_ns,
    frame_to_seconds,
    monotonic_ns,
)
from soulstream_engine.frames import AudioBlock, PoseFrame
from soulstream_engine.osc.vmc import VmcEncoder
from soulstream_engine.runtime.dance import DanceStream

PARTS = ("audio", "wait", "lead", "pacer", "compute")
"""What a latency is made of; ``compute`` lies inside ``lead``."""

_RENDER_SHARE = 0.6  # of the progress
_START_S = 0.5  # of a session before its first sample, at most


@dataclass(frozen=True, slots=True)
class Latency:
    """One click's latency and its parts, milliseconds; ``compute_ms`` lies inside ``lead_ms``."""

    total_ms: float
    audio_ms: float
    wait_ms: float
    lead_ms: float
    pacer_ms: float
    compute_ms: float


class _Loop(PacedSource):
    """Paced music that remembers when its first sample sounded."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        super().__init__("clicks", lambda: iter([samples]), play=False, loop=False)
        self.start_ns: int | None = None

    def blocks(self, align: Callable[[int], int] = start_now) -> Iterator[AudioBlock]:
        def remembered(now_ns: int) -> int:
            self.start_ns = align(now_ns)
            return self.start_ns

        return super().blocks(remembered)


def measure_clicks(
    bundle: Bundle,
    backend: Backend,
    track: ClickTrack,
    *,
    seed: int = 0,
    commit_tokens: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Plays the track live and measures the latency of every click.

    Args:
        bundle: Verified model.
        backend: What runs it.
        track: Music and clicks.
        seed: Of the dance.
        commit_tokens: Tokens of a tick, fewer than the bundle wants; ``None``: as it wants.
        progress: Told the share done, 0..1.

    Returns:
        As ``click_numbers``.

    Raises:
        SinkError: If the receiver or the sender cannot be opened.
        KeyboardInterrupt: If the live run was stopped from outside.
    """
    shared = TimedBackend(backend)
    frames, reactions = find_reactions(
        bundle,
        shared,
        track,
        seed=seed,
        commit_tokens=commit_tokens,
        progress=lambda share: progress(share * _RENDER_SHARE),
    )
    source = _Loop(track.sound())
    stream = DanceStream(bundle, seed=seed, backend=shared, commit_tokens=commit_tokens)
    shared.take()
    seconds = len(track.music) / SAMPLE_RATE + _START_S
    begin_ns = monotonic_ns()

    def told() -> None:
        share = min(1.0, (monotonic_ns() - begin_ns) / 1e9 / seconds)
        progress(_RENDER_SHARE + (1.0 - _RENDER_SHARE) * share)

    run = run_live(source, stream, fps=FPS, seconds=seconds, on_status=told)
    live = _Live(frames, arrivals(run.packets, FPS), source.start_ns, list(stream.tick_ms))
    answers = [live.latency(one, one.answer) for one in reactions if one.answer is not None]
    soonest = [live.latency(one, one.soonest) for one in reactions]
    return click_numbers(answers, soonest)


def click_numbers(answers: list[Latency | None], soonest: list[Latency | None]) -> dict[str, Any]:
    """Latencies as a result.

    Args:
        answers: Of the clicks that changed the dance; ``None`` where the answer did not arrive as it was danced.
        soonest: Of all clicks, to the first frame that was made after the click was heard.

    Returns:
        ``clicks``, ``answered``, ``arrived`` (counts), ``ms`` (spread of the latency, ``None`` without any),
        ``parts_ms`` (median of each part), ``all_ms``, and ``soonest_ms`` (spread): what the engine alone takes, were
        every click answered by the first tick that heard it.
    """
    found = [one for one in answers if one is not None]
    possible = [one.total_ms for one in soonest if one is not None]
    return {
        "clicks": len(soonest),
        "answered": len(answers),
        "arrived": len(found),
        "ms": spread([one.total_ms for one in found], 1) if found else None,
        "parts_ms": {name: round(percentile([getattr(one, f"{name}_ms") for one in found], 50.0), 1) for name in PARTS}
        if found
        else None,
        "soonest_ms": spread(possible, 1) if possible else None,
        "all_ms": [round(one.total_ms, 1) for one in found],
    }


class _Live:
    """The live run put beside the dance that was danced beforehand.

    Args:
        frames: That dance.
        arrived: What came, by the pacer's index.
        start_ns: When the first sample sounded; ``None``: never.
        tick_ms: What each tick took.
    """

    def __init__(
        self, frames: list[PoseFrame], arrived: dict[int, Arrival], start_ns: int | None, tick_ms: list[float]
    ) -> None:
        self._frames = frames
        self._arrived = arrived
        self._tick_ms = tick_ms
        self._encoder = VmcEncoder()
        self._start_ns = start_ns
        epoch_ns = min((one.at_ns - frame_due_ns(index, 0) for index, one in arrived.items()), default=0)
        # Frames are due when their sound is, so a whole number lies between both counts.
        self._offset = 0 if start_ns is None else round((start_ns - epoch_ns) * FPS / 1e9)

    def latency(self, reaction: Reaction, made: Made) -> Latency | None:
        """From the click to a frame's arrival; ``None`` if the frame did not come as it was danced."""
        index = made.frame.index + self._offset
        arrival = self._arrived.get(index)
        if arrival is None or self._start_ns is None or made.tick >= len(self._tick_ms):
            return None
        expected = replace(self._frames[made.frame.index], index=index)
        if bytes(self._encoder.encode(expected, frame_to_seconds(index))[0]) != arrival.first:
            return None
        click_ms = 1000.0 * reaction.sample / SAMPLE_RATE
        heard_ms = _delivered_ms(reaction.sample // SAMPLES_PER_FRAME)
        ticked_ms = _delivered_ms(made.heard)
        due_ms = 1000.0 * frame_to_seconds(made.frame.index)
        arrived_ms = (arrival.at_ns - self._start_ns) / 1e6
        return Latency(
            total_ms=arrived_ms - click_ms,
            audio_ms=heard_ms - click_ms,
            wait_ms=ticked_ms - heard_ms,
            lead_ms=due_ms - ticked_ms,
            pacer_ms=arrived_ms - due_ms,
            compute_ms=self._tick_ms[made.tick],
        )


def _delivered_ms(feature_frame: int) -> float:
    """When the block that completes a feature frame is delivered, milliseconds after the first sample."""
    samples = (feature_frame + 1) * SAMPLES_PER_FRAME
    return 1000.0 * -(-samples // BLOCK_SAMPLES) * BLOCK_SAMPLES / SAMPLE_RATE
