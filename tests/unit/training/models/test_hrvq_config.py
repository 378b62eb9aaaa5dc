from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from soulstream_training.models.conv import Pointwise
from soulstream_training.models.hrvq import Hrvq, HrvqConfig, make_decoder, preset, toy_config

CHECKPOINTS = Path(__file__).parents[4] / "training" / "checkpoints"


def millions(*modules: torch.nn.Module) -> float:
    return sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6


def test_the_papers_tokenizer_has_the_papers_size() -> None:
    with torch.device("meta"):
        model = Hrvq(preset("hrvq", size="paper", face_space="flame100"))
    assert [round(millions(encoder), 2) for encoder in model.encoders] == [9.59, 9.74, 9.34]
    assert round(millions(model.decoder), 2) == 12.13
    assert round(millions(model.quantizer), 2) == 1.84  # one Lin and one Conv, shared by both hops and all levels
    assert round(millions(model), 1) == 42.6
    assert round(model.quantizer.tables.numel() / 1e6, 1) == 4.7
    assert model.quantizer.tables.shape == (3, 6, 512, 512)


def test_the_papers_decoder_costs_what_it_costs_there() -> None:
    """24.1 million multiply-accumulates per token: the residual blocks run before the rate is raised, not after."""
    counts: list[int] = []
    config = preset("hrvq", size="paper", face_space="flame100")
    with torch.device("meta"):
        decoder = make_decoder(config)
        for layer in decoder.modules():
            if isinstance(layer, Pointwise):
                layer.register_forward_hook(lambda self, _, made: counts.append(self.weight.numel() * made.shape[2]))
        decoder(torch.zeros(1, 3 * config.code_dim, 1))
    assert round(sum(counts) / 1e6, 1) == 24.1


def test_the_papers_learning_rules() -> None:
    config = preset("hrvq", size="paper")
    assert (config.stack, config.causal, config.smoother) == ("conv", False, "none")
    assert (config.temperature, config.decay, config.reset_rule, config.reset_below) == (0.5, 0.99, "redraw", 1.0)
    assert (config.quantiser_dropout, config.dropout, config.dilations) == (0.2, 0.2, (9, 3, 1))
    assert preset("hrvq", size="paper", causal=True).causal
    assert preset("hrvq", size="paper", stack="folded").causal


def test_the_stage_preset_is_the_default() -> None:
    assert preset("hrvq", face_space="body") == HrvqConfig()
    assert preset("hrvq", size="toy", face_space="body") == toy_config()


@pytest.mark.parametrize(
    ("face_space", "dims"),
    [("flame100", (263, 360, 100)), ("arkit52", (263, 360, 52)), ("none", (263, 360)), ("body", (263,))],
)
def test_the_face_space_switches_the_parts(face_space: str, dims: tuple[int, ...]) -> None:
    hrvq, rvq = (preset(name, face_space=face_space) for name in ("hrvq", "rvq"))
    assert hrvq.parts == ("body", "hands", "face")[: len(dims)]
    assert hrvq.part_dims == dims
    assert rvq.parts == ("whole",)
    assert rvq.part_dims == (sum(dims),)


@pytest.mark.parametrize(
    ("name", "parts", "levels", "codes", "bits"),
    [
        ("hrvq", 3, 6, 512, 1215.0),
        ("rvq", 1, 6, 512, 405.0),
        ("rvq18", 1, 18, 512, 1215.0),
        ("vq512", 1, 1, 512, 67.5),
        ("vq1024", 1, 1, 1024, 75.0),
    ],
)
def test_bits_per_second(name: str, parts: int, levels: int, codes: int, bits: float) -> None:
    config = preset(name, size="paper", face_space="flame100")
    assert (len(config.parts), config.levels, config.num_codes) == (parts, levels, codes)
    assert config.bits_per_second == pytest.approx(bits)


def test_the_shipped_tokenizer_spends_360_bits_per_second() -> None:
    assert HrvqConfig().bits_per_second == pytest.approx(6 * 8 * 7.5)


@pytest.mark.parametrize("name", ["hrvq", "rvq", "rvq18", "vq512", "vq1024"])
@pytest.mark.parametrize("stack", ["folded", "conv"])
def test_every_toy_tokenizes_trains_and_decodes(name: str, stack: str) -> None:
    torch.manual_seed(0)
    config = preset(name, size="toy", stack=stack, temperature=0.5, reset_rule="redraw", share_hints=True)  # type: ignore[arg-type]
    model = Hrvq(config)
    motion = torch.randn(2, 16, 675)
    made, quantised = model.train()(motion, torch.Generator().manual_seed(0))
    (made.pow(2).mean() + quantised.commitment).backward()
    assert all(parameter.grad is not None for parameter in model.encoders.parameters())
    codes = model.eval().tokenize(motion)
    assert codes.shape == (2, len(config.parts), 4, config.levels)
    assert model.detokenize(codes)[0].shape == motion.shape


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="tokenizer 'hvq' is not one of hrvq, rvq, rvq18, vq512, vq1024"):
        preset("hvq")
    with pytest.raises(ValueError, match="size 'huge' is not one of paper, stage, toy"):
        preset("hrvq", size="huge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="face space 'smile' is not one of flame100, arkit52, none, body"):
        preset("hrvq", face_space="smile")
    with pytest.raises(ValueError, match="stack 'tower' is not one of folded, conv"):
        toy_config(stack="tower")
    with pytest.raises(ValueError, match="one entry per part"):
        toy_config(parts=("body", "hands"))


def test_a_config_survives_json() -> None:
    config = preset("rvq18", size="paper", causal=True, smoother="learned")
    assert HrvqConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_weights_from_before_there_were_two_stacks_still_fit() -> None:
    config = HrvqConfig.from_json(json.loads((CHECKPOINTS / "hrvq.json").read_text())["config"]["model"])
    with torch.device("meta"):
        expected = Hrvq(config).state_dict()
    with safe_open(CHECKPOINTS / "hrvq.safetensors", "pt") as stored:
        assert {name: tuple(value.shape) for name, value in expected.items()} == {
            name: tuple(stored.get_slice(name).get_shape())
            for name in stored.keys()  # noqa: SIM118 (no mapping)
        }
