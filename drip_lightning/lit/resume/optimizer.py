"""A resumed run's optimizer and schedule are those of its checkpoint, or are taken anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer

from drip_lightning.choices import name_of
from drip_lightning.errors import InputError
from drip_lightning.lit.description import choice_to_config
from drip_lightning.lit.learning_rate import span_run
from drip_lightning.lit.resume.same_run import differences

_HOW_IT_IS_COMPUTED = {"capturable", "differentiable", "foreach", "fused"}
"""Of an optimizer: what hardware decides, and no result."""
_RATES = {"base_lrs", "last_lr"}
"""Of a schedule: they follow from the optimizer's."""


def describe_optimization(optimizer: Optimizer, schedule: Any, parameter_groups: Sequence[Any]) -> dict[str, Any]:
    """What decides a training's steps, in plain values that `differences` compares.

    Args:
        optimizer: Any; described by its class and its defaults.
        schedule: Of its learning rate, not yet stepped; described by its class and its state, which holds its
            arguments, as only it knows them. Or nothing.
        parameter_groups: The choices that made the optimizer's groups.

    Raises:
        InputError: one of them cannot be described.
    """
    return {
        "optimizer": {"class_path": name_of(type(optimizer)), "init_args": _plain(optimizer.defaults)},
        "parameter_groups": choice_to_config(parameter_groups),
        "lr_scheduler": None
        if schedule is None
        else {"class_path": name_of(type(schedule)), "init_args": _plain(schedule.state_dict())},
    }


def resume_optimizer(trainer: Trainer, checkpoint: dict[str, Any], *, anew: bool) -> None:
    """Compare optimizer and schedule with those of a checkpoint that is about to be loaded into them.

    Args:
        trainer: Its optimizers are made; `optimization` of its module describes them.
        checkpoint: Changed, so that what is loaded of it computes as configured, or begins anew. One of an earlier
            version does not describe its optimizer.
        anew: Whether optimizer and schedule begin anew where they differ, or where the checkpoint does not tell.

    Raises:
        InputError: they differ, and are not to be taken anew.
    """
    configured = getattr(trainer.lightning_module, "optimization", None)
    if configured is None:  # nothing is trained, or a module of somebody's own sees to it
        return
    recorded = checkpoint.get("optimization")
    found = differences(recorded, configured) if recorded else "optimizer unknown" if anew else ""
    if not found and not trainer.strategy.restore_checkpoint_after_setup:
        found = _other_weights(checkpoint["optimizer_states"], trainer.optimizers)
    if not found:
        for state, optimizer in zip(checkpoint["optimizer_states"], trainer.optimizers, strict=True):
            for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=False):
                saved.update({name: own[name] for name in _HOW_IT_IS_COMPUTED.intersection(own)})
        return
    if not anew:
        raise InputError(
            f"{trainer.ckpt_path} was trained otherwise: {found}; give the configuration that it was trained with, or "
            "begin optimizer and schedule anew, --checkpoint.new_optimizer true"
        )
    if trainer.strategy.restore_checkpoint_after_setup:
        raise InputError("checkpoint.new_optimizer: FSDP has loaded the checkpoint's; take it anew under ddp, and save")
    rank_zero_info(f"optimizer and schedule begin anew at step {trainer.global_step}: {found}")
    checkpoint["optimizer_states"], checkpoint["lr_schedulers"] = [], []
    for config in trainer.lr_scheduler_configs:
        span_run(config.scheduler, trainer.max_steps, begins_at=trainer.global_step)


def _other_weights(states: Sequence[Mapping[str, Any]], optimizers: Sequence[Optimizer]) -> str:
    """How many weights were trained and are now, if that differs: code may have changed since."""
    was = [len(group["params"]) for state in states for group in state["param_groups"]]
    now = [len(group["params"]) for optimizer in optimizers for group in optimizer.param_groups]
    return "" if was == now else f"{sum(was)} weights in {len(was)} groups, configured {sum(now)} in {len(now)}"


def _plain(value: Any) -> Any:
    """What a checkpoint can hold of an optimizer's or a schedule's settings, under their arguments' names."""
    if isinstance(value, Counter):  # how MultiStepLR keeps its milestones
        return sorted(value.elements())
    if isinstance(value, Mapping):
        items = {str(name).lstrip("_"): _plain(one) for name, one in value.items()}
        return {name: one for name, one in items.items() if name not in _RATES | _HOW_IT_IS_COMPUTED}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
