"""Which weights are trained with another learning rate or weight decay than the optimizer's."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer

from drip_lightning.errors import InputError


@dataclass(frozen=True)
class Factors:
    """What a weight's settings are multiplied by.

    Attributes:
        learning_rate: Of the optimizer's, at least 0.
        weight_decay: Of the optimizer's, at least 0.
    """

    learning_rate: float = 1.0
    weight_decay: float = 1.0


class ParameterGroups(ABC):
    """A choice of factors for each trained weight; of several choices, the factors are multiplied."""

    @abstractmethod
    def factors(self, weights: Mapping[str, nn.Parameter]) -> Mapping[str, Factors]:
        """Decide the factors of a stage's trained weights.

        Args:
            weights: By their names in the stage, such as `joint_unet.unet.conv_in.bias`.

        Returns:
            By the same names; those that are missing keep the optimizer's settings.

        Raises:
            InputError: this choice is not for these networks.
        """


@dataclass(frozen=True)
class DecayWeightsOnly(ParameterGroups):
    """No weight decay for biases and the scales of norms: for whatever has fewer than two dimensions."""

    def factors(self, weights: Mapping[str, nn.Parameter]) -> Mapping[str, Factors]:
        """Exempt vectors and scalars."""
        return {name: Factors(weight_decay=0.0) for name, weight in weights.items() if weight.ndim < 2}


_ORDER = {"conv_in": 0, "time_embedding": 0, "class_embedding": 0, "down_blocks": 1, "mid_block": 2, "up_blocks": 3}
"""The parts of diffusers' U-Nets and autoencoders, from input to output."""
_BLOCK = re.compile(rf"(.*?)\b({'|'.join(_ORDER)})\b(?:\.(\d+))?")


@dataclass(frozen=True)
class LayerwiseDecay(ParameterGroups):
    """A learning rate that falls from a U-Net's output to its input, by the same factor from block to block.

    What is nearest to the picture changes least, as in fine-tuning transformers (ELECTRA, Clark et al. 2020; BEiT, Bao
    et al. 2022). The last layers, which belong to no block, have the optimizer's rate; an autoencoder's two halves
    count as two networks.

    Attributes:
        decay: Rate of a block's weights, relative to the next block's.
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what is no factor."""
        if not 0 < self.decay <= 1:
            raise InputError(f"parameter_groups.decay: expected more than 0 and at most 1, got {self.decay}")

    def factors(self, weights: Mapping[str, nn.Parameter]) -> Mapping[str, Factors]:
        """Count each network's blocks that train, from its end."""
        found = {name: match for name in weights if (match := _BLOCK.match(name))}
        if not found:
            raise InputError(
                "parameter_groups: LayerwiseDecay is for U-Nets and autoencoders, which are not trained here"
            )
        place = {name: (match[1], _ORDER[match[2]], int(match[3] or 0)) for name, match in found.items()}
        blocks = sorted(set(place.values()))
        above = {block: sum(other[0] == block[0] and other >= block for other in blocks) for block in blocks}
        return {name: Factors(learning_rate=self.decay ** above[block]) for name, block in place.items()}


def make_optimizer(
    make: OptimizerCallable, weights: Mapping[str, nn.Parameter], choices: Sequence[ParameterGroups]
) -> Optimizer:
    """Make an optimizer, one parameter group for all weights that have the same factors.

    Args:
        make: Makes it from parameters or groups of them.
        weights: What it trains.
        choices: Whose factors its learning rate and weight decay are multiplied by; without any there is one group.

    Raises:
        InputError: a choice is not for these weights, or changes a weight decay that the optimizer does not have.
    """
    if not choices:
        return make(list(weights.values()))
    found = [choice.factors(weights) for choice in choices]
    groups: dict[Factors, list[nn.Parameter]] = {}
    for name, weight in weights.items():
        own = [factors.get(name, Factors()) for factors in found]
        product = Factors(math.prod(one.learning_rate for one in own), math.prod(one.weight_decay for one in own))
        groups.setdefault(product, []).append(weight)
    optimizer = make([{"params": group} for group in groups.values()])
    for group, factors in zip(optimizer.param_groups, groups, strict=True):
        if factors.learning_rate != 1:
            group["lr"] = group["lr"] * factors.learning_rate  # not in place: groups may share a tensor
        if factors.weight_decay != 1:
            if not group.get("weight_decay"):
                raise InputError(
                    f"parameter_groups: {type(optimizer).__name__} has no weight_decay that some weights could go "
                    "without; give it one, as torch.optim.AdamW has"
                )
            group["weight_decay"] *= factors.weight_decay
    return optimizer


def check_rates_kept(optimizer: Optimizer, rates: Sequence[float], schedule: object) -> None:
    """Check that a schedule begins with rates in the same proportion as they were.

    Args:
        optimizer: The schedule is made.
        rates: Each group's before that.
        schedule: To be named.

    Raises:
        InputError: it sets the groups' rates itself.
    """
    now = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    if not all(
        math.isclose(after * rates[0], now[0] * before, rel_tol=1e-6) for before, after in zip(rates, now, strict=True)
    ):
        raise InputError(
            f"lr_scheduler: {type(schedule).__name__} sets every group's learning rate, which undoes parameter_groups: "
            "take WarmupThenDecay"
        )
