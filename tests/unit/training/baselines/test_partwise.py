"""The part-wise system's network: which column is whose, who sees what, and what the refiner may change."""

from __future__ import annotations

import torch

from soulstream_engine.motion.representation import BODY_JP, BODY_JR, BODY_JV
from soulstream_engine.motion.skeleton import JOINT_INDEX
from soulstream_training.baselines.diffusion import DenoiserSizes
from soulstream_training.baselines.partwise import LOWER, LOWER_JOINTS, UPPER, Partwise, joined

TINY = DenoiserSizes(width=16, layers=1, heads=2, hidden=32, dropout=0.0)


def test_every_column_is_of_one_part() -> None:
    assert sorted(LOWER + UPPER) == list(range(263))
    assert set(LOWER) >= {0, 1, 2, 3, 259, 260, 261, 262}, "root and contacts"
    rotating = LOWER_JOINTS - {"pelvis"}
    assert len(LOWER) == 4 + len(rotating) * 9 + len(LOWER_JOINTS) * 3 + 4
    for name, part in (("left_foot", LOWER), ("right_hip", LOWER), ("spine1", UPPER), ("right_wrist", UPPER)):
        joint = JOINT_INDEX[name]
        for column in (BODY_JP.start + 3 * (joint - 1), BODY_JR.start + 6 * joint - 1, BODY_JV.start + 3 * joint + 2):
            assert column in part


def test_parts_are_joined_in_the_order_of_the_row() -> None:
    rows = torch.randn(2, 3, 263)
    assert torch.equal(joined(rows[..., LOWER], rows[..., UPPER]), rows)


def _network() -> Partwise:
    torch.manual_seed(0)
    network = Partwise(TINY, music_dim=3)
    for part in (network.lower, network.upper, network.refiner):
        torch.nn.init.normal_(part.out.weight, std=0.1)
    return network.eval()


def test_the_refiner_teaches_the_experts_nothing() -> None:
    network, motion, music = _network(), torch.randn(2, 30, 263), torch.randn(2, 30, 3)
    network.loss(motion, music, torch.Generator().manual_seed(0)).backward()
    with_refiner = [parameter.grad.clone() for parameter in network.lower.parameters()]
    assert any(parameter.grad.abs().max() > 0 for parameter in network.refiner.parameters())
    network.zero_grad()
    torch.nn.init.normal_(network.refiner.out.weight)
    network.loss(motion, music, torch.Generator().manual_seed(0)).backward()
    torch.testing.assert_close([parameter.grad for parameter in network.lower.parameters()], with_refiner)


def test_an_expert_does_not_see_the_other_part_but_the_refiner_does() -> None:
    network, music = _network(), torch.randn(1, 30, 3)
    with torch.no_grad():
        kept = torch.zeros(1, 0, 263)
        dance = network.make(music, kept, torch.Generator().manual_seed(0))
        network.lower.out.bias.add_(1.0)
        refined = network.make(music, kept, torch.Generator().manual_seed(0))
        torch.nn.init.zeros_(network.refiner.out.weight)
        alone = network.make(music, kept, torch.Generator().manual_seed(0))
        network.lower.out.bias.sub_(1.0)
        before = network.make(music, kept, torch.Generator().manual_seed(0))
    assert float((refined - dance)[..., UPPER].abs().max()) > 1e-3
    assert torch.equal(alone[..., UPPER], before[..., UPPER])
    assert float((alone - before)[..., LOWER].abs().max()) > 0.1


def test_known_rows_are_kept_though_all_is_refined() -> None:
    network, known = _network(), torch.randn(1, 10, 263)
    with torch.no_grad():
        made = network.make(torch.randn(1, 30, 3), known, torch.Generator().manual_seed(0))
    assert torch.equal(made[:, :10], known)
