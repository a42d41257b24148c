"""The loss that teaches foreground and alpha together (DRIP App. A.3)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from drip_lightning.ops.losses import gradient_loss, l2_loss, laplacian_loss, region_l1_loss
from drip_lightning.ops.trimap import unknown_mask


@dataclass(frozen=True)
class LossTerms:
    """A training loss: what is minimised, and what it is made of."""

    total: Tensor
    """Scalar, differentiable: what training minimises."""
    terms: dict[str, Tensor]
    """Detached scalars for logging, before weighting; of `MattingLoss`: `alpha_l1`, …, `foreground_gradient`."""


class MattingLoss(nn.Module):
    """Weighted sum of L1, L2, Laplacian and gradient terms of alpha and of foreground (DRIP App. A.3).

    `total = Σ_k w_k (alpha_k + foreground · foreground_k)`; foreground terms compare colours times the true alpha. A
    term of weight 0 is neither computed nor reported.

    Args:
        l1: Weight of L1, the unknown and the known region each normalised by its own area.
        l2: Weight of the mean squared error.
        laplacian: Weight of the five-level Laplacian pyramid loss.
        gradient: Weight of the Sobel gradient penalty.
        foreground: Weight of all foreground terms against the alpha terms; 0 leaves the foreground untaught.

    Raises:
        ValueError: a weight is negative, or all four terms have weight 0.
    """

    def __init__(
        self,
        *,
        l1: float = 1.0,
        l2: float = 1.0,
        laplacian: float = 1.0,
        gradient: float = 1.0,
        foreground: float = 1.0,
    ) -> None:
        super().__init__()
        self.l1, self.l2, self.laplacian, self.gradient = l1, l2, laplacian, gradient
        self.weights = {"l1": l1, "l2": l2, "laplacian": laplacian, "gradient": gradient}
        self.foreground = foreground
        if min(*self.weights.values(), foreground) < 0 or not any(self.weights.values()):
            raise ValueError(
                "loss weights: expected none negative and one of l1, l2, laplacian, gradient positive, "
                f"got {self.weights} and foreground={foreground}"
            )

    def forward(
        self, *, foreground: Tensor, alpha: Tensor, true_foreground: Tensor, true_alpha: Tensor, trimap: Tensor
    ) -> LossTerms:
        """Compare predicted with true maps.

        Args:
            foreground: (B, 3, H, W), predicted straight colour, near [0, 1].
            alpha: (B, 1, H, W), predicted, near [0, 1].
            true_foreground: (B, 3, H, W) in [0, 1], straight colour.
            true_alpha: (B, 1, H, W) in [0, 1].
            trimap: (B, 1, H, W), exactly 0, 0.5 (unknown) or 1.

        Raises:
            ValueError: shapes differ.
        """
        unknown = unknown_mask(trimap)
        compared: list[tuple[str, float, Tensor, Tensor, Tensor | None]] = [("alpha", 1.0, alpha, true_alpha, None)]
        if self.foreground:
            compared.append(("foreground", self.foreground, foreground, true_foreground, true_alpha))
        total = alpha.new_zeros((), dtype=torch.float32)
        terms = {}
        for domain, domain_weight, preds, target, pixel_weight in compared:
            for name, term in self._terms(preds, target, unknown, pixel_weight):
                total = total + domain_weight * self.weights[name] * term
                terms[f"{domain}_{name}"] = term.detach()
        return LossTerms(total=total, terms=terms)

    def _terms(
        self, preds: Tensor, target: Tensor, unknown: Tensor, weight: Tensor | None
    ) -> Iterator[tuple[str, Tensor]]:
        if self.weights["l1"]:
            yield "l1", region_l1_loss(preds, target, unknown, weight=weight)
        if self.weights["l2"]:
            yield "l2", l2_loss(preds, target, weight=weight)
        if self.weights["laplacian"]:
            yield "laplacian", laplacian_loss(preds, target, weight=weight)
        if self.weights["gradient"]:
            yield "gradient", gradient_loss(preds, target, weight=weight)
