"""The diffusion schedule: the same betas for DDPM training and DPM-Solver++ sampling (DRIP Sec. 3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.ops.prediction import PredictionType


@dataclass(frozen=True)
class NoiseSchedule:
    """Betas, what the denoiser predicts, and how sampling spaces its steps; defaults are Stable Diffusion 2 base's.

    Attributes:
        prediction_type: What the denoiser predicts. SD 2 base is epsilon, SD 2 at 768 pixels v_prediction.
        num_train_timesteps: Length T of the training schedule.
        beta_start: First beta.
        beta_end: Last beta.
        beta_schedule: How betas run from first to last.
        zero_terminal_snr: Rescale the betas so that the last step is pure noise (Lin et al. 2024, Alg. 1).
        timestep_spacing: Which timesteps sampling visits. "trailing" starts at T and mends few-step sampling
            (Lin et al. 2024; Garcia et al. 2024); "leading" is that of diffusers' DDIM.
        steps_offset: Added to "leading" timesteps; 1 in Stable Diffusion.
        solver_order: Of DPM-Solver++ multistep; 1 is DDIM.
        base: Whether the pretrained base's own schedule is to `keep`, so that another prediction type or other betas
            here are refused, or to `replace` by this one, which training then has to teach.
    """

    prediction_type: PredictionType = "epsilon"
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    zero_terminal_snr: bool = False
    timestep_spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    steps_offset: int = 1
    solver_order: Literal[1, 2, 3] = 2
    base: Literal["keep", "replace"] = "keep"

    def __post_init__(self) -> None:
        """Refuse a last step that tells an epsilon predictor nothing, or that sampling never visits."""
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            raise InputError(
                "zero_terminal_snr with prediction_type=epsilon is undefined at the last step: "
                "use v_prediction or sample, or leave zero_terminal_snr off"
            )
        if self.zero_terminal_snr and self.timestep_spacing == "leading":
            raise InputError(
                "zero_terminal_snr with timestep_spacing=leading: sampling would start from pure noise at a step that "
                "was trained on less; use trailing or linspace, or leave zero_terminal_snr off"
            )
        if self.steps_offset < 0:
            raise InputError(f"noise_schedule.steps_offset: expected 0 or more, got {self.steps_offset}")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "NoiseSchedule":
        """Undo `solver`, from its `config`.

        Raises:
            InputError: it is another solver.
        """
        same = [*cls().settings(), "steps_offset", "solver_order"]
        same.remove("rescale_betas_zero_snr")
        if any(name not in config for name in same):
            raise InputError("scheduler: expected DPMSolverMultistepScheduler, as `drip export` writes it")
        made = cls(**{name: config[name] for name in same}, zero_terminal_snr=config["rescale_betas_zero_snr"])
        expected = made.solver(1).config
        for name, value in expected.items():
            if not name.startswith("_") and config.get(name, value) != value:
                raise InputError(f"scheduler: {name} {config[name]} is not what this sampler does, which is {value}")
        return made

    def check_base(self, found: Mapping[str, Any]) -> None:
        """Compare with the schedule that the pretrained base was trained with, unless that is to be replaced.

        Args:
            found: The base's, as in `scheduler_config.json`; what it leaves out is diffusers' default.

        Raises:
            InputError: prediction type, betas or length differ.
        """
        if self.base == "replace":
            return
        bases = DDPMScheduler.from_config(dict(found)).config
        own = self.settings()
        names = [name for name in own if name != "timestep_spacing" and bases[name] != own[name]]
        names += [] if bases["trained_betas"] is None else ["trained_betas"]
        if names:
            told = ", ".join(f"{name} {bases[name]}, configured {own.get(name)}" for name in names)
            told = told.replace("rescale_betas_zero_snr", "zero_terminal_snr")
            raise InputError(
                f"noise_schedule contradicts the base's: {told}; set it to the base's, "
                "or noise_schedule.base to replace if fine-tuning shall change it"
            )

    def settings(self) -> dict[str, Any]:
        """Betas, prediction type and spacing, in diffusers' terms."""
        return {
            "num_train_timesteps": self.num_train_timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "prediction_type": self.prediction_type,
            "rescale_betas_zero_snr": self.zero_terminal_snr,
            "timestep_spacing": self.timestep_spacing,
        }

    def alphas_cumprod(self) -> Tensor:
        """The schedule's cumulated products (T,), float32, falling from nearly 1."""
        return DDPMScheduler(**self.settings(), clip_sample=False).alphas_cumprod

    def solver(self, steps: int) -> DPMSolverMultistepScheduler:
        """A fresh DPM-Solver++ (Lu et al. 2022) for `steps` steps, the last landing on the clean latent.

        It starts from noise of unit variance and takes its inputs unscaled.

        Raises:
            InputError: the last leading timestep would lie beyond the schedule.
        """
        solver = DPMSolverMultistepScheduler(
            **self.settings(),
            steps_offset=self.steps_offset,
            algorithm_type="dpmsolver++",
            solver_order=self.solver_order,
            final_sigmas_type="zero",
        )
        if self.timestep_spacing == "leading":
            solver.set_timesteps(timesteps=self._leading(steps))
        else:
            solver.set_timesteps(steps)
        return solver

    def _leading(self, steps: int) -> list[int]:
        """DDIM's; diffusers' DPM-Solver divides by one step more, and so starts lower."""
        ratio = self.num_train_timesteps // steps
        timesteps = [place * ratio + self.steps_offset for place in reversed(range(steps))]
        if timesteps[0] >= self.num_train_timesteps:
            raise InputError(
                f"{steps} leading steps with noise_schedule.steps_offset={self.steps_offset} begin at timestep "
                f"{timesteps[0]}, beyond the last, {self.num_train_timesteps - 1}: take fewer steps, or an offset of 0"
            )
        return timesteps
