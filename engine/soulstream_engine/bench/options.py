"""What a benchmark is asked for, and how much of everything it then measures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from soulstream_engine.backends import BACKENDS
from soulstream_engine.errors import ConfigError

PRESETS = ("stage", "paper")
"""``stage``: the embedded bundle. ``paper``: random weights at the published size, made here."""

MAX_DANCERS = 64
"""Most dancers that can be measured together. Ours."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What was asked for.

    ``bundle`` in place of the preset's, quantised if ``is_int8``; ``num_ticks`` or ``seconds`` of music are measured
    (both ``None``: as many as belong to the amount); ``tick_tokens`` measures click to packet also with ticks of so
    many tokens.

    Raises:
        ConfigError: If two things do not go together or a number is out of range.
    """

    preset: str | None = None
    bundle: Path | None = None
    backend: str = BACKENDS[0]
    dancers: int = 1
    num_ticks: int | None = None
    seconds: float | None = None
    tick_tokens: int | None = None
    seed: int = 0
    is_int8: bool = False
    is_quick: bool = False

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise ConfigError(
                "BENCH_PRESET", f"--preset {self.preset!r} is not known; known are: {', '.join(PRESETS)}.", "Name one."
            )
        if self.preset is not None and self.bundle is not None:
            raise ConfigError(
                "BENCH_PRESET", f"--preset {self.preset} and --bundle {self.bundle} both name a model.", "Give one."
            )
        if self.num_ticks is not None and self.seconds is not None:
            raise ConfigError(
                "BENCH_TICKS", f"--ticks {self.num_ticks} and --seconds {self.seconds} say the same twice.", "Give one."
            )
        if not 1 <= self.dancers <= MAX_DANCERS:
            raise ConfigError(
                "BENCH_DANCERS", f"--dancers is {self.dancers}; 1 to {MAX_DANCERS} is possible.", "Change it."
            )

    def ticks_asked(self, budget_ms: float) -> int | None:
        """Ticks that were asked for, if any were; ``budget_ms`` is the length of the music of one."""
        if self.seconds is None:
            return self.num_ticks
        return max(1, round(self.seconds * 1000.0 / budget_ms))


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured: counts, and limits in seconds that a slow machine or a large model runs into first."""

    warm_up_s: float
    ticks: int
    ticks_limit_s: float
    clicks: int
    clicks_render_s: float
    load_ticks: int
    dancer_ticks: int
    pacer_s: float
    start_s: float
    memory_ticks: int
    matrix_s: float
    step_repeats: int
    paper_ticks: int
    paper_limit_s: float

    def num_clicks(self, realtime_factor: float, gap_s: float) -> int:
        """Clicks that can be looked for in ``clicks_render_s``: the k-th needs the music before it danced once more.

        Args:
            realtime_factor: Seconds of music danced in one second here.
            gap_s: Mean time between two clicks, seconds.
        """
        affordable = math.sqrt(2.0 * self.clicks_render_s * realtime_factor / gap_s)
        return max(1, min(self.clicks, int(affordable)))


WHOLE = Amount(
    warm_up_s=8.0,
    ticks=1000,
    ticks_limit_s=60.0,
    clicks=20,
    clicks_render_s=45.0,
    load_ticks=200,
    dancer_ticks=100,
    pacer_s=6.0,
    start_s=4.0,
    memory_ticks=60,
    matrix_s=2.0,
    step_repeats=100,
    paper_ticks=1000,
    paper_limit_s=120.0,
)
"""What is measured unless ``--quick``: three to five minutes for the embedded bundle on two cores."""

QUICK = Amount(
    warm_up_s=4.0,
    ticks=40,
    ticks_limit_s=3.0,
    clicks=2,
    clicks_render_s=3.0,
    load_ticks=15,
    dancer_ticks=10,
    pacer_s=0.75,
    start_s=2.0,
    memory_ticks=10,
    matrix_s=0.4,
    step_repeats=10,
    paper_ticks=5,
    paper_limit_s=3.0,
)
"""A look at everything in half a minute; its tails mean nothing."""
