"""The diffusion schedule: the same betas for DDPM training and for sampling (DRIP Sec. 3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from drip_lightning.choices import Replaceable
from drip_lightning.errors import InputError
from drip_lightning.nn.solver import DPMSolver, Solver
from drip_lightning.ops.prediction import PredictionType


@dataclass(frozen=True)
class NoiseSchedule(Replaceable):
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
        solver: The method that sampling steps by.
        solver_order: Of a multistep solver; 1 is DDIM.
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
    solver: Solver = DPMSolver()  # noqa: RUF009 - frozen
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
        """Undo `solver_for`, from the `config` of a DPM-Solver++.

        Raises:
            InputError: it is another solver.
        """
        same = [*cls().settings(), "steps_offset", "solver_order"]
        same.remove("rescale_betas_zero_snr")
        if any(name not in config for name in same):
            raise InputError("scheduler: expected DPMSolverMultistepScheduler, as `drip export` writes it")
        made = cls(**{name: config[name] for name in same}, zero_terminal_snr=config["rescale_betas_zero_snr"])
        expected = made.solver_for(1).config
        for name, value in expected.items():
            if not name.startswith("_") and config.get(name, value) != value:
                raise InputError(f"scheduler: {name} {config[name]} is not what this sampler does, which is {value}")
        return made

    @property
    def is_usual(self) -> bool:
        """Whether it is this very class with DPM-Solver++: all of it is then in that solver's `config`, see `of`."""
        return type(self) is NoiseSchedule and type(self.solver) is DPMSolver

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

    def solver_for(self, steps: int) -> Any:
        """A fresh solver for `steps` steps: see `Solver.build`.

        Raises:
            InputError: it does not go with the schedule, or with how it is used.
        """
        solver = self.solver.build(
            {**self.settings(), "steps_offset": self.steps_offset, "solver_order": self.solver_order}, steps=steps
        )
        if len(solver.timesteps) != steps or solver.init_noise_sigma != 1:
            raise InputError(
                "noise_schedule.solver: expected one prediction a step, from noise of deviation 1; "
                f"{type(self.solver).__name__} makes {len(solver.timesteps)} in {steps} steps, from "
                f"{float(solver.init_noise_sigma):.3g}"
            )
        return solver
