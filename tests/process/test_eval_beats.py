"""The beat evaluation must tell a dancer who listens from one who does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.data, pytest.mark.slow]


def test_random_codes_fail_the_beat_evaluation(shared_data: Path) -> None:
    command = [
        sys.executable, "-c", "from soulstream_training.cli import main; main()", "eval", "beats",
        "--data", str(shared_data), "--control", "codes", "--seeds", "1", "--seconds", "40", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 1, done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert numbers["num_tracks"] == 6
    assert numbers["significant"] < 4
    for track in numbers["tracks"].values():
        assert {"bas", "shift_p", "f1", "density"} <= set(track)
