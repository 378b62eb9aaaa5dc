from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from soulstream_engine.motion.representation import BODY_JP, encode_body
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.evaluation.tokenizer import body_errors_mm, reconstruct, rests_kept
from soulstream_training.models.hrvq import LOOK_AHEAD


class PerfectCopy:
    """A tokenizer that keeps everything; its output lags like the real one's and begins and ends with nonsense."""

    def __init__(self, change: np.ndarray | float = 0.0) -> None:
        self.config = SimpleNamespace(levels=3)
        self.mean, self.std = torch.full((263,), 0.5), torch.full((263,), 2.0)
        self.change = torch.as_tensor(np.asarray(change, np.float32))
        self.levels: list[int] = []

    def __call__(self, motion: torch.Tensor, levels: int) -> tuple[torch.Tensor, None]:
        assert motion.shape[1] % 4 == 0
        self.levels.append(levels)
        late = torch.full_like(motion, 1e6)
        late[:, LOOK_AHEAD:] = motion[:, :-LOOK_AHEAD]
        late[:, : LOOK_AHEAD + 4] = 1e6
        return (late + self.change - self.mean) / self.std, None


def standing(frames: int) -> np.ndarray:
    pose = np.zeros((frames + 1, 22, 4))
    pose[..., 0] = 1.0
    root = np.full((frames + 1, 3), [0.0, PELVIS_REST_HEIGHT_M, 0.0])
    root[:, 0] = 0.1 * np.sin(np.arange(frames + 1) / 7)
    return encode_body(root, pose)


@pytest.mark.parametrize("frames", range(24, 33))
def test_reconstruction_has_every_frame_where_it_belongs(frames: int) -> None:
    rows = np.random.default_rng(frames).normal(size=(frames, 263)).astype(np.float32)
    assert np.allclose(reconstruct(PerfectCopy(), rows), rows, atol=1e-4)  # type: ignore[arg-type]


def test_levels_are_passed_on() -> None:
    model = PerfectCopy()
    reconstruct(model, standing(24))  # type: ignore[arg-type]
    reconstruct(model, standing(24), 1)  # type: ignore[arg-type]
    assert model.levels == [3, 1]


def test_perfect_copies_have_no_error() -> None:
    errors = body_errors_mm(PerfectCopy(), [standing(40), standing(31)])  # type: ignore[arg-type]
    assert errors.frames == 71
    assert max(errors.local_mm, errors.world_mm) < 0.1
    assert errors.chain_mm < 0.5


def test_error_of_a_shifted_body_by_hand() -> None:
    change = np.zeros(263)
    change[BODY_JP.start + 2 : BODY_JP.stop : 3] = 0.03  # every joint but the root 3 cm forward
    errors = body_errors_mm(PerfectCopy(change), [standing(60)])  # type: ignore[arg-type]
    assert errors.local_mm == pytest.approx(30 * 21 / 22, abs=0.05)
    assert errors.world_mm == pytest.approx(30 * 21 / 22, abs=0.05)


def test_height_of_the_root_is_not_counted_twice() -> None:
    """Joint heights are written above the floor: a root and joints that rise together keep their pose."""
    change = np.zeros(263)
    change[3] = 0.2
    change[BODY_JP.start + 1 : BODY_JP.stop : 3] = 0.2
    assert body_errors_mm(PerfectCopy(change), [standing(40)]).local_mm < 0.1  # type: ignore[arg-type]


def test_a_wrong_turn_shows_in_the_world_only() -> None:
    change = np.zeros(263)
    change[0] = 0.01
    errors = body_errors_mm(PerfectCopy(change), [standing(150)])  # type: ignore[arg-type]
    assert errors.local_mm < 0.1
    assert errors.world_mm > 100.0


def test_frames_count_equally_whatever_clip_they_come_from() -> None:
    class OnlyLong(PerfectCopy):
        def __call__(self, motion: torch.Tensor, levels: int) -> tuple[torch.Tensor, None]:
            self.change = torch.zeros(263)
            if motion.shape[1] > 60:
                self.change[BODY_JP.start + 2 : BODY_JP.stop : 3] = 0.03
            return super().__call__(motion, levels)

    errors = body_errors_mm(OnlyLong(), [standing(25), standing(75)])  # type: ignore[arg-type]
    assert errors.local_mm == pytest.approx(0.75 * 30 * 21 / 22, abs=0.1)


def swinging(frames: int, pause_frames: float) -> np.ndarray:
    """Rows of somebody who walks and all but stops every ``pause_frames``."""
    pose = np.zeros((frames + 1, 22, 4))
    pose[..., 0] = 1.0
    root = np.full((frames + 1, 3), [0.0, PELVIS_REST_HEIGHT_M, 0.0])
    root[:, 2] = np.cumsum(0.03 * (1.0 - 0.8 * np.cos(2 * np.pi * np.arange(frames + 1) / pause_frames)))
    return encode_body(root, pose)


def test_rests_that_are_kept_moved_or_lost() -> None:
    rows = swinging(200, 20.0)
    kept = rests_kept(PerfectCopy(), [rows, swinging(100, 17.0)])  # type: ignore[arg-type]
    assert kept.f1 == pytest.approx(1.0)
    assert kept.density == pytest.approx(1.0)
    assert kept.correlation == pytest.approx(1.0, abs=1e-4)

    class Steady(PerfectCopy):
        """Walks evenly, whatever it is shown."""

        def __call__(self, motion: torch.Tensor, levels: int) -> tuple[torch.Tensor, None]:
            even = motion.clone()
            even[..., 2] = 0.03 + 0.001 * torch.sin(torch.arange(motion.shape[1]) * 0.9)
            return super().__call__(even, levels)

    lost = rests_kept(Steady(), [rows])  # type: ignore[arg-type]
    assert lost.f1 < 0.7
    assert abs(lost.correlation) < 0.3
