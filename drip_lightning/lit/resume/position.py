"""Read and set Lightning's step counters; the only module that touches the private parts of its loops."""

from lightning.pytorch import Trainer


def resume_after(trainer: Trainer, step: int) -> None:
    """Make a trainer that has not begun count from `step`.

    Lightning's own way of restarting a loop would skip the validation that is due, and count logs twice.
    """
    loop = trainer.fit_loop.epoch_loop
    batches = step * trainer.accumulate_grad_batches
    counts = dict.fromkeys(("ready", "started", "processed", "completed"), batches)
    loop.batch_progress.total.load_state_dict(counts)
    steps = loop.automatic_optimization.optim_progress.optimizer.step.total
    steps.ready = steps.completed = step
    loop._batches_that_stepped = step


def is_step_taken(trainer: Trainer) -> bool:
    """Whether no batch is under way or waits for others to make a step with it."""
    batches = trainer.fit_loop.epoch_loop.batch_progress.total
    return batches.ready == batches.completed == trainer.global_step * trainer.accumulate_grad_batches


def is_step_over(trainer: Trainer) -> bool:
    """Whether the last step is whole: weights, schedule and logs are written, and validation is over."""
    return is_step_taken(trainer) and trainer.fit_loop.epoch_loop._batches_that_stepped == trainer.global_step


def let_one_more_step_begin(trainer: Trainer) -> None:
    """Let training start although its last step is done: a validation is still due."""
    loop = trainer.fit_loop.epoch_loop
    if 0 <= loop.max_steps <= trainer.global_step:
        loop.max_steps = trainer.global_step + 1


def validate_now(trainer: Trainer, *, max_steps: int) -> None:
    """Validate as the training loop does after a step, and log it at that step; `max_steps` is the run's length."""
    loop = trainer.fit_loop.epoch_loop
    loop.max_steps = max_steps
    loop._batches_that_stepped -= 1
    trainer.validating = True
    loop.val_loop.run()
    trainer.training = True
    loop._batches_that_stepped += 1
