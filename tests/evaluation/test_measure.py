import pytest
import torch

from drip_lightning.evaluation.measure import as_file, measure, metric_names
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.metrics import sad
from tests.networks import matting_batch


def test_a_matte_is_measured_as_its_file_would_be() -> None:
    trimap = torch.tensor([0.0, 0.5, 0.5, 1.0]).view(1, 1, 1, 4)
    alpha = torch.tensor([0.3, 0.5, 1.2, 0.9]).view(1, 1, 1, 4)
    written = as_file(Matte(foreground=alpha.expand(1, 3, 1, 4), alpha=alpha), trimap)
    assert written.alpha.flatten().tolist() == pytest.approx([0, 128 / 255, 1, 1])
    assert written.foreground[0, 0, 0].tolist() == pytest.approx([76 / 255, 128 / 255, 1, 230 / 255])
    as_predicted = as_file(Matte(foreground=alpha.expand(1, 3, 1, 4), alpha=alpha), trimap, takes_known=False)
    assert torch.equal(as_predicted.alpha[0, 0, 0], written.foreground[0, 0, 0])


@pytest.mark.parametrize("region", ["unknown", "whole"])
def test_every_metric_says_its_region_and_the_strata_add_up_to_the_sad(region: str) -> None:
    batch = matting_batch(3, size=24)
    preds = (batch["alpha"] + 0.1).clamp(0, 1)
    scores = measure(Matte(foreground=batch["image"], alpha=preds), batch, region)
    assert list(scores["metrics"]) == metric_names(region)
    assert all(name.endswith(region) for name in scores["metrics"])
    mask = batch["trimap"] == 0.5 if region == "unknown" else torch.ones_like(batch["trimap"], dtype=torch.bool)
    total = scores["metrics"][f"alpha_sad_{region}"]
    assert total == sad(preds, batch["alpha"], mask).item()
    assert sum(stratum["absolute"] for stratum in scores["strata"].values()) == pytest.approx(total)
    assert sum(stratum["pixels"] for stratum in scores["strata"].values()) == mask.sum()
    squared = sum(stratum["squared"] for stratum in scores["strata"].values())
    assert squared / mask.sum() == pytest.approx(scores["metrics"][f"alpha_mse_{region}"])


def test_without_a_true_foreground_there_is_no_foreground_score() -> None:
    batch = matting_batch(3)
    del batch["foreground"]
    scores = measure(Matte(foreground=batch["image"], alpha=batch["alpha"]), batch, "unknown")
    assert all(name.startswith("alpha_") for name in scores["metrics"])
