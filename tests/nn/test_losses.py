import pytest
import torch
import yaml

from drip_lightning.nn.losses import MattingLoss
from drip_lightning.ops.losses import gradient_loss, l2_loss, laplacian_loss, region_l1_loss
from tests.runs import CONFIGS


@pytest.fixture
def maps() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def rand(channels: int) -> torch.Tensor:
        return torch.rand(2, channels, 16, 16, generator=generator)

    return {
        "foreground": rand(3),
        "alpha": rand(1),
        "true_foreground": rand(3),
        "true_alpha": rand(1),
        "trimap": (rand(1) * 2).round() / 2,
    }


def test_without_weights_it_is_the_paper_s_stage_3_configuration() -> None:
    configured = yaml.safe_load((CONFIGS / "transparency.yaml").read_text())["model"]["init_args"]["loss"]
    loss = MattingLoss()
    assert loss.weights | {"foreground": loss.foreground} == configured


def test_total_is_the_weighted_sum_of_the_terms(maps):
    weights = {"l1": 0.5, "l2": 2.0, "laplacian": 3.0, "gradient": 0.25}
    result = MattingLoss(**weights, foreground=0.1)(**maps)
    alpha = (maps["alpha"], maps["true_alpha"])
    foreground = (maps["foreground"], maps["true_foreground"])
    weight = maps["true_alpha"]
    expected = {
        "alpha_l1": region_l1_loss(*alpha, maps["trimap"] == 0.5),
        "alpha_l2": l2_loss(*alpha),
        "alpha_laplacian": laplacian_loss(*alpha),
        "alpha_gradient": gradient_loss(*alpha),
        "foreground_l1": region_l1_loss(*foreground, maps["trimap"] == 0.5, weight=weight),
        "foreground_l2": l2_loss(*foreground, weight=weight),
        "foreground_laplacian": laplacian_loss(*foreground, weight=weight),
        "foreground_gradient": gradient_loss(*foreground, weight=weight),
    }
    torch.testing.assert_close(result.terms, expected)
    total = sum(weights[name] * (expected[f"alpha_{name}"] + 0.1 * expected[f"foreground_{name}"]) for name in weights)
    torch.testing.assert_close(result.total, total)


def test_constant_errors_by_hand():
    true_alpha = torch.full((1, 1, 8, 8), 0.5)
    trimap = torch.full((1, 1, 8, 8), 0.5)
    trimap[..., :4] = 1.0
    result = MattingLoss()(
        foreground=torch.full((1, 3, 8, 8), 0.6),
        alpha=torch.full((1, 1, 8, 8), 0.75),
        true_foreground=torch.full((1, 3, 8, 8), 0.2),
        true_alpha=true_alpha,
        trimap=trimap,
    )
    # L1 counts each of the two regions once; L2 is the squared error; a constant has no bands and no gradient.
    # The foreground is 0.4 off, times alpha 0.5.
    expected = {"alpha_l1": 0.5, "alpha_l2": 0.0625, "foreground_l1": 0.4, "foreground_l2": 0.04}
    assert {name: term.item() for name, term in result.terms.items()} == pytest.approx(
        expected
        | dict.fromkeys(("alpha_laplacian", "alpha_gradient", "foreground_laplacian", "foreground_gradient"), 0.0),
        abs=1e-6,
    )
    assert result.total.item() == pytest.approx(0.5 + 0.0625 + 0.4 + 0.04, abs=1e-6)


def test_truth_costs_nothing_and_colour_is_free_where_alpha_is_zero(maps):
    maps["true_alpha"][..., :8] = 0
    maps["alpha"] = maps["true_alpha"]
    maps["foreground"] = maps["true_foreground"].clone()
    maps["foreground"][..., :8] = 9.0
    assert MattingLoss()(**maps).total.item() == 0


def test_only_total_carries_gradients_and_they_reach_both_domains(maps):
    maps["alpha"].requires_grad_()
    maps["foreground"].requires_grad_()
    result = MattingLoss()(**maps)
    assert not any(term.requires_grad for term in result.terms.values())
    result.total.backward()
    for name in ("alpha", "foreground"):
        assert maps[name].grad.isfinite().all()
        assert maps[name].grad.abs().sum() > 0


def test_terms_of_weight_zero_are_left_out(maps):
    result = MattingLoss(l2=0, gradient=0, foreground=0)(**maps)
    assert set(result.terms) == {"alpha_l1", "alpha_laplacian"}


@pytest.mark.parametrize(
    "weights", [{"l1": -1.0}, {"foreground": -1.0}, dict.fromkeys(("l1", "l2", "laplacian", "gradient"), 0)]
)
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="loss weights"):
        MattingLoss(**weights)
