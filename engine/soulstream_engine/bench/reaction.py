"""Which frame is the first that a click changes: found without a clock, by dancing twice.

The same sound and the same seed give the same dance. So the dance to all clicks is set beside the dance that stops
hearing clicks before the k-th: the first frame that differs is the reaction to click k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from soulstream_engine.backends.base import Backend
from soulstream_engine.bench.clicks import ClickTrack
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import SAMPLES_PER_FRAME
from soulstream_engine.frames import F32, PoseFrame
from soulstream_engine.runtime.dance import DanceStream


@dataclass(frozen=True, slots=True)
class Made:
    """A frame and how it came about: made at feature frame ``heard`` by tick number ``tick`` (-1 before the first)."""

    frame: PoseFrame
    heard: int
    tick: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a click did to the dance.

    ``click`` its number; ``sample`` when it sounds; ``soonest`` the first frame that was made after it was heard, which
    could have answered. ``answer`` is the first frame that differs; ``None``: nothing did before the next click.
    """

    click: int
    sample: int
    soonest: Made
    answer: Made | None


def dance(stream: DanceStream, samples: F32) -> Iterator[Made]:
    """Frames of a stream as they are made; ``samples`` [N] float32 at 48 kHz are heard frame by frame."""
    for heard in range(len(samples) // SAMPLES_PER_FRAME):
        for frame in stream.push(samples[heard * SAMPLES_PER_FRAME : (heard + 1) * SAMPLES_PER_FRAME]):
            yield Made(frame, heard, len(stream.tick_ms) - 1)


def find_reactions(
    bundle: Bundle,
    backend: Backend,
    track: ClickTrack,
    *,
    seed: int = 0,
    commit_tokens: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[list[PoseFrame], list[Reaction]]:
    """Dances to the track with all clicks, and once without each of them.

    Args:
        bundle: Verified model.
        backend: What runs it (one that shares its steps saves memory).
        track: Music and clicks.
        seed: Of the dance.
        commit_tokens: Tokens of a tick; ``None``: as the bundle wants.
        progress: Told the share done, 0..1.

    Returns:
        All frames of the dance with all clicks, and one reaction for each click.
    """

    def new_stream() -> DanceStream:
        return DanceStream(bundle, seed=seed, backend=backend, commit_tokens=commit_tokens)

    whole = list(dance(new_stream(), track.sound()))
    cost, done = sum(track.at) + len(track.music), len(track.music)
    progress(done / cost)
    reactions: list[Reaction] = []
    for number, sample in enumerate(track.at):
        following = track.at[number + 1] if number + 1 < len(track.at) else len(track.music)
        without = dance(new_stream(), track.sound(number)[:following])
        last_heard = following // SAMPLES_PER_FRAME - 1
        soonest = next(made for made in whole if made.heard >= sample // SAMPLES_PER_FRAME)
        reactions.append(Reaction(number, sample, soonest, _first_change(without, whole, last_heard)))
        done += sample
        progress(done / cost)
    return [made.frame for made in whole], reactions


def _first_change(dance_without: Iterator[Made], whole: list[Made], last_heard: int) -> Made | None:
    """The first frame that differs, if it was made no later than at feature frame ``last_heard``."""
    for one, other in zip(dance_without, whole, strict=False):
        if other.heard > last_heard:
            return None
        if not is_same_pose(one.frame, other.frame):
            return other
    return None


def is_same_pose(one: PoseFrame, other: PoseFrame) -> bool:
    """Whether two frames show exactly the same, bit for bit."""
    return (
        np.array_equal(one.joint_wxyz, other.joint_wxyz)
        and np.array_equal(one.root_m, other.root_m)
        and np.array_equal(one.face, other.face)
    )
