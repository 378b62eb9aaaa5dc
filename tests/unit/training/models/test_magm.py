from __future__ import annotations

import pytest
import torch

from soulstream_training.models.magm import Magm, MagmConfig

SMALL = {"num_codes": 7, "levels": 3, "num_features": 5, "width": 16, "layers": 1, "heads": 2, "hidden": 16}


def model_of(**changes: int) -> Magm:
    torch.manual_seed(0)
    return Magm(MagmConfig(**(SMALL | changes))).eval()  # type: ignore[arg-type]


def embed(model: Magm, codes: torch.Tensor, seen: torch.Tensor, committed: float = 0.0, level: int | None = None):
    positions = codes.shape[1]
    part = torch.arange(positions) % model.config.num_parts
    aligned = torch.zeros(1, positions, model.config.width)
    index = None if level is None else torch.tensor([level])
    return model.embed(codes, seen, part, torch.full((positions,), committed), aligned, index)


def test_codes_that_are_not_seen_do_not_matter() -> None:
    model = model_of(num_parts=2)
    codes = torch.randint(7, (1, 4, 3))
    other = (codes + 3) % 7
    for seen_levels in range(4):
        seen = (torch.arange(3) < seen_levels).float().expand(1, 4, 3)
        mixed = torch.where(seen > 0, codes, other)
        assert torch.equal(embed(model, codes, seen), embed(model, mixed, seen))
        if seen_levels:
            assert not torch.allclose(embed(model, codes, seen), embed(model, other, seen))


def test_parts_and_levels_have_codes_of_their_own() -> None:
    model = model_of(num_parts=2)
    same = torch.full((1, 2, 3), 4)
    seen = torch.zeros(1, 2, 3)
    seen[..., 0] = 1.0
    by_level = [embed(model, same, seen.roll(level, dims=2)) for level in range(3)]
    assert not torch.allclose(by_level[0], by_level[1])
    with torch.no_grad():
        model.part_embedding.zero_()
    one = embed(model, same, seen)
    assert not torch.allclose(one[:, 0], one[:, 1])


def test_level_to_predict_is_told_to_planned_positions_only() -> None:
    model = model_of(first_level=1)
    codes, seen = torch.randint(7, (1, 4, 3)), torch.ones(1, 4, 3)
    assert not torch.allclose(embed(model, codes, seen, level=0), embed(model, codes, seen, level=1))
    assert torch.equal(embed(model, codes, seen, 1.0, level=0), embed(model, codes, seen, 1.0, level=1))
    assert not torch.allclose(embed(model, codes, seen), embed(model, codes, seen, 1.0))


@pytest.mark.parametrize("parts", [1, 3])
def test_scores_use_the_table_of_their_part_and_level(parts: int) -> None:
    model = model_of(first_level=1, num_parts=parts)
    hidden = torch.randn(2, 6, 16)
    part = torch.arange(6) % parts
    level = torch.tensor([0, 1])
    scores = model.logits(hidden, part, level)
    features = model.head(hidden)
    for row in range(2):
        for position in range(6):
            where = int(level[row]), int(part[position])
            expected = features[row, position] @ model.out_tables[where] + model.out_bias[where]
            assert torch.allclose(scores[row, position], expected, atol=1e-5)


def test_hidden_music_is_the_same_for_all_music() -> None:
    model = model_of()
    rows = torch.randn(2, 3, 4, 5)
    tokens = model.encode_music(rows, torch.tensor([1.0, 0.0]))
    assert torch.allclose(tokens[0], model.encode_music(rows)[0])
    assert torch.equal(tokens[1], model.null_music.expand(3, 16))


def test_music_is_normalised_with_the_statistics_of_training() -> None:
    model = model_of()
    rows = torch.randn(1, 3, 4, 5)
    plain = model.encode_music(rows)
    model.feature_mean.fill_(2.0)
    model.feature_std.fill_(3.0)
    assert torch.allclose(model.encode_music(rows * 3.0 + 2.0), plain, atol=1e-5)


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        model_of(heads=3)


@pytest.mark.parametrize("first_level", [0, 1])
def test_codes_that_decode_alike_begin_alike(first_level: int) -> None:
    model = model_of(num_parts=2, first_level=first_level)
    tables = torch.randn(2, 3, 7, 64) * torch.tensor([4.0, 2.0, 1.0])[None, :, None, None]
    tables[1, 2, 5] = tables[1, 2, 4] + 0.01
    model.start_from_codebooks(tables)
    distances = torch.cdist(tables, tables).flatten()
    kept = torch.cdist(model.code_tables, model.code_tables).flatten()
    assert torch.corrcoef(torch.stack([distances, kept]))[0, 1] > 0.8
    assert float(model.code_tables.std().detach()) == pytest.approx(0.05, rel=0.1)
    if first_level == 1:  # level 2 is the second one that it tells
        told = model.out_tables[1, 1].T
        assert (told[5] - told[4]).norm() < 0.1 * (told[5] - told[3]).norm()
        first, second = model.out_tables.detach().flatten(1).std(1).tolist()
        assert first == pytest.approx(second, rel=0.2)
    with pytest.raises(ValueError, match="2 levels of codes for a model of 3"):
        model.start_from_codebooks(tables[:, :2])
