"""Which numerical method samples: from noise to latents, step by step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from drip_lightning.errors import InputError


class Solver(ABC):
    """A choice of the method that sampling steps by."""

    @abstractmethod
    def build(self, settings: Mapping[str, Any], *, steps: int) -> Any:
        """Make a fresh one of diffusers' schedulers, or one like them, ready for its first step.

        It starts from noise of unit variance, takes its inputs unscaled, and one prediction a step, in which the step
        is linear, so that those of tiles can be blended.

        Args:
            settings: In diffusers' terms: `num_train_timesteps`, `beta_start`, `beta_end`, `beta_schedule`,
                `prediction_type`, `rescale_betas_zero_snr`, `timestep_spacing`, `steps_offset`, `solver_order`.
            steps: How many it is asked for.

        Raises:
            InputError: it does not go with the settings.
        """


@dataclass(frozen=True)
class DPMSolver(Solver):
    """Multistep DPM-Solver++ (Lu et al. 2022), the last step landing on the clean latent; of order 1 it is DDIM."""

    def build(self, settings: Mapping[str, Any], *, steps: int) -> DPMSolverMultistepScheduler:
        """Make it, with DDIM's timesteps where the spacing is leading: its own divide by one step more.

        Raises:
            InputError: the last leading timestep would lie beyond the schedule.
        """
        solver = DPMSolverMultistepScheduler(**settings, algorithm_type="dpmsolver++", final_sigmas_type="zero")
        if settings["timestep_spacing"] == "leading":
            solver.set_timesteps(timesteps=_leading(settings, steps))
        else:
            solver.set_timesteps(steps)
        return solver


def _leading(settings: Mapping[str, Any], steps: int) -> list[int]:
    total, offset = settings["num_train_timesteps"], settings["steps_offset"]
    timesteps = [place * (total // steps) + offset for place in reversed(range(steps))]
    if timesteps[0] >= total:
        raise InputError(
            f"{steps} leading steps with noise_schedule.steps_offset={offset} begin at timestep {timesteps[0]}, beyond "
            f"the last, {total - 1}: take fewer steps, or an offset of 0"
        )
    return timesteps
