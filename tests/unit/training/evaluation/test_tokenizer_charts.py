from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from soulstream_engine.motion.representation import BODY_DIM, BODY_JP, HANDS_JP, encode
from soulstream_engine.motion.rotations import from_axis_angle
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_training.data.report_codes import CodeLevel
from soulstream_training.evaluation.tokenizer_charts import (
    LevelErrors,
    level_curve,
    level_errors,
    losses_of,
    png_bytes,
    reconstruction_strip,
    usage_heat_map,
    vertical_trajectory,
)
from soulstream_training.models.hrvq import Hrvq, preset
from soulstream_training.recipes.motion_rows import Stretch

PNG = b"\x89PNG\r\n\x1a\n"


def dancing(frames: int = 60) -> np.ndarray:
    """Rows [T, 675] of somebody who swings the right arm and goes up and down."""
    joints = np.zeros((frames + 1, 52, 4))
    joints[..., 0] = 1.0
    time = np.arange(frames + 1) / 30
    joints[:, 17] = from_axis_angle(np.eye(3)[2], -0.8 * np.sin(5 * time))
    root = np.stack([0.2 * time, PELVIS_REST_HEIGHT_M - 0.05 + 0.05 * np.cos(5 * time), 0 * time], -1)
    return encode(root, joints, np.zeros((frames + 1, 52), np.float32))


def lifted(rows: np.ndarray, metres: float) -> np.ndarray:
    """The same with all of the body but the pelvis higher, and the hands as much higher again."""
    other = rows.copy()
    other[:, BODY_JP][:, 1::3] += metres
    if rows.shape[1] > BODY_DIM:
        other[:, HANDS_JP][:, 1::3] += 2 * metres
    return other


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def level(part: str, number: int, shares: list[float]) -> CodeLevel:
    return CodeLevel(part, number, 1000, sum(share > 0 for share in shares), 2.6, tuple(shares))


SYSTEMS = {"truth": dancing(), "hrvq": lifted(dancing(), 0.01), "vq512": lifted(dancing(), 0.1)}
CURVES = {
    "hrvq": LevelErrors((1, 2, 3), {"body": (60.0, 50.0, 40.0), "hands": (30.0, 20.0, 10.0)}, 180.0),
    "vq512": LevelErrors((1,), {"body": (80.0,)}, 67.5),
}
USAGE = {
    "hrvq": [level(part, number, [0.5, 0.3, 0.2, 0.0]) for part in ("body", "hands") for number in range(3)],
    "vq512": [level("whole", 0, [0.25] * 4 + [0.0] * 4)],
    "empty": [CodeLevel("whole", 0, 0, 0, 0.0, (0.0,) * 4)],
}


def test_the_truth_loses_nothing() -> None:
    losses = losses_of(dancing(), dancing())
    assert not np.any(losses.body) and not np.any(losses.hands)


def test_a_strip_names_everybody_with_his_errors() -> None:
    found = words(reconstruction_strip(SYSTEMS, num_poses=4))
    assert {"truth", "hrvq", "vq512"} <= set(found)
    assert "body 0.0 mm\nhands 0.0 mm" in found
    assert "body 9.5 mm\nhands 10.0 mm" in found  # 21 of 22 joints; hands 2 cm, wrists 1 cm
    assert "body 95.5 mm\nhands 100.0 mm" in found
    assert found.count("10 mm") == found.count("95 mm") == 4
    assert [word for word in found if word.endswith(" s")] == ["0.0 s", "0.7 s", "1.3 s", "2.0 s"]


def test_a_strip_of_the_body_alone_says_nothing_of_hands() -> None:
    found = words(reconstruction_strip({name: rows[:, :BODY_DIM] for name, rows in SYSTEMS.items()}))
    assert "body 9.5 mm" in found
    assert not any("hands" in word for word in found)


def test_figures_fit_into_their_rows_whatever_they_do() -> None:
    figure = reconstruction_strip({"truth": dancing(), "high": lifted(dancing(), 3.0)}, num_poses=2)
    width, height = figure.get_size_inches()
    assert width == 11.0 and 0.0 < height < 30.0


def test_heights_are_of_the_joints_that_move_most() -> None:
    found = words(vertical_trajectory(SYSTEMS))
    assert {"hrvq", "vq512", "pelvis, cm", "right wrist, cm", "mean speed, m/s"} <= set(found)
    assert found.count("0.0 cm off") == 2  # the pelvis of both
    assert found.count("1.0 cm off") == 2  # wrist and ankle
    assert found.count("10.0 cm off") == 2
    assert found.count("jerk 1.00 times the truth's") == 2


def test_the_truth_can_be_seen_whatever_the_others_do() -> None:
    figure = vertical_trajectory({"truth": dancing(), "wild": lifted(dancing(), 50.0)})
    wrist = figure.axes[1]
    low, high = wrist.get_ylim()
    truth = wrist.lines[0].get_ydata()
    assert low < np.min(truth) < np.max(truth) < high < 3.5 * np.max(truth)


def test_usage_says_perplexity_and_share() -> None:
    found = words(usage_heat_map(USAGE))
    assert {"hrvq   1 000 tokens", "vq512   1 000 tokens", "body 1", "hands 3", "whole 1"} <= set(found)
    assert found.count("3") == 7 and found.count("75 %") == 6 and found.count("50 %") == 1
    assert "0 %" in found  # nothing was counted


def test_panels_do_not_overlap() -> None:
    panels = [axes.get_position() for axes in usage_heat_map(USAGE).axes]
    for number, one in enumerate(panels):
        assert 0.0 < one.x0 < one.x1 < 1.0 and 0.0 < one.y0 < one.y1 < 1.0
        assert not any(one.overlaps(other) for other in panels[number + 1 :])


def test_curves_are_drawn_by_levels_and_by_bits() -> None:
    figure = level_curve(CURVES)
    by_level, by_bits, hands, _ = figure.axes
    assert by_level.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert by_bits.lines[0].get_xdata().tolist() == [180, 360, 540]
    assert [len(axes.lines) for axes in (by_level, hands)] == [2, 1]
    assert by_level.get_ylim()[0] == 0.0 and by_level.get_ylim()[1] > 80.0
    assert {"body, mm", "hands, mm"} <= set(words(figure))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["hrvq", "vq512"]


@pytest.mark.parametrize(
    ("name", "levels"), [("hrvq", (1, 2, 3)), ("vq512", (1,)), ("rvq18", (1, 2, 3, 4, 5, 6, 9, 12, 15, 18))]
)
def test_levels_are_tried_one_after_another(name: str, levels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = Hrvq(preset(name, size="toy")).eval()
    for part in model.quantizer.books:
        for book in part:  # type: ignore[attr-defined]
            book.codes.normal_()
    found = level_errors(model, [Stretch("clip", "salsa", "test", False, 0, dancing())])
    assert found.levels == levels
    assert {part: len(errors) for part, errors in found.errors_mm.items()} == dict.fromkeys(
        ("body", "hands"), len(levels)
    )
    assert len(set(found.errors_mm["body"])) == len(levels)
    assert found.bits_per_level * model.config.levels == pytest.approx(model.config.bits_per_second)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: reconstruction_strip(SYSTEMS),
        lambda: vertical_trajectory(SYSTEMS),
        lambda: usage_heat_map(USAGE),
        lambda: level_curve(CURVES),
    ],
    ids=["strip", "heights", "usage", "levels"],
)
def test_the_same_input_gives_the_same_small_file(draw) -> None:
    content = png_bytes(draw())
    assert content.startswith(PNG) and len(content) < 300_000
    assert png_bytes(draw()) == content
