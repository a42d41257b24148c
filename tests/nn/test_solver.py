from dataclasses import dataclass

import pytest
import torch
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler

from drip_lightning.errors import InputError
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.sampling import sample_latents
from drip_lightning.nn.solver import Solver


@dataclass(frozen=True)
class Heun(Solver):
    """Two predictions a step, from noise of another scale."""

    def build(self, settings, *, steps):
        names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
        solver = HeunDiscreteScheduler(**{name: settings[name] for name in names})
        solver.set_timesteps(steps)
        return solver


def test_a_solver_of_several_predictions_a_step_is_refused() -> None:
    schedule = NoiseSchedule(solver=Heun())
    said = r"^noise_schedule\.solver: expected one prediction a step, .*; Heun makes 7 in 4 steps, from \S+$"
    with pytest.raises(InputError, match=said):
        sample_latents(lambda noisy, timesteps, places: noisy, torch.zeros(2, 4, 1, 1), schedule, steps=(4,))
