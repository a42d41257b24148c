import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from drip_lightning.errors import InputError
from drip_lightning.nn.noise_schedule import NoiseSchedule


def test_alphas_cumprod_are_stable_diffusions() -> None:
    """`scaled_linear`: the square roots of the betas are linear."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    expected = (1 - betas).cumprod(0).float()
    torch.testing.assert_close(NoiseSchedule().alphas_cumprod(), expected, atol=1e-6, rtol=1e-5)


def test_trailing_steps_start_at_the_last_timestep() -> None:
    schedule = NoiseSchedule()
    assert schedule.solver_for(10).timesteps.tolist() == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert schedule.solver_for(1).timesteps.tolist() == [999]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 25, 50, 100, 999])
def test_leading_steps_are_those_of_ddim(steps: int, offset: int) -> None:
    ddim = DDIMScheduler(timestep_spacing="leading", steps_offset=offset)
    ddim.set_timesteps(steps)
    schedule = NoiseSchedule(timestep_spacing="leading", steps_offset=offset)
    assert schedule.solver_for(steps).timesteps.tolist() == ddim.timesteps.tolist()


def test_a_solver_of_the_first_order_steps_as_ddim() -> None:
    """So the noise levels at the leading timesteps are the same, too; DDIM's last step ends at t = 0, not before."""
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    ddim = DDIMScheduler(timestep_spacing="leading", steps_offset=1, clip_sample=False, **settings)
    ddim.set_timesteps(10)
    solver = NoiseSchedule(timestep_spacing="leading", solver_order=1).solver_for(10)
    own = theirs = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for timestep in ddim.timesteps[:-1]:
        noise = torch.tanh(own + timestep / 1000)
        own = solver.step(noise, timestep, own).prev_sample
        theirs = ddim.step(torch.tanh(theirs + timestep / 1000), timestep, theirs).prev_sample
    torch.testing.assert_close(own, theirs, atol=1e-4, rtol=1e-4)


def test_leading_steps_beyond_the_schedule_are_refused() -> None:
    schedule = NoiseSchedule(timestep_spacing="leading")
    with pytest.raises(InputError, match=r"1000 leading steps with .* begin at timestep 1000, beyond the last, 999"):
        schedule.solver_for(1000)


BASE = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def test_a_base_of_the_same_schedule_passes() -> None:
    NoiseSchedule().check_base(BASE)
    NoiseSchedule(prediction_type="v_prediction").check_base(BASE | {"prediction_type": "v_prediction"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prediction_type": "v_prediction"}, "prediction_type v_prediction, configured epsilon"),
        ({"beta_end": 0.02}, "beta_end 0.02, configured 0.012"),
        ({"beta_schedule": "linear"}, "beta_schedule linear, configured scaled_linear"),
        ({"num_train_timesteps": 500}, "num_train_timesteps 500, configured 1000"),
        ({"rescale_betas_zero_snr": True}, "zero_terminal_snr True, configured False"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas"),
    ],
)
def test_a_base_of_another_schedule_is_refused_by_name_unless_it_is_to_be_replaced(change, told) -> None:
    with pytest.raises(InputError, match="noise_schedule contradicts the base's") as error:
        NoiseSchedule().check_base(BASE | change)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    NoiseSchedule(base="replace").check_base(BASE | change)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_zero_terminal_snr_is_zero(prediction_type) -> None:
    alphas_cumprod = NoiseSchedule(prediction_type=prediction_type, zero_terminal_snr=True).alphas_cumprod()
    plain = NoiseSchedule(prediction_type=prediction_type).alphas_cumprod()
    assert alphas_cumprod[-1] == 0
    assert plain[-1] > 1e-3
    torch.testing.assert_close(alphas_cumprod[0], plain[0])
    assert (alphas_cumprod.diff() < 0).all()


def test_zero_terminal_snr_with_epsilon_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="zero_terminal_snr with prediction_type=epsilon") as error:
        NoiseSchedule(prediction_type="epsilon", zero_terminal_snr=True)
    assert "\n" not in str(error.value)


def test_zero_terminal_snr_with_leading_timesteps_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="zero_terminal_snr with timestep_spacing=leading"):
        NoiseSchedule(prediction_type="sample", zero_terminal_snr=True, timestep_spacing="leading")


def test_each_solver_is_fresh() -> None:
    schedule = NoiseSchedule()
    first, second = schedule.solver_for(3), schedule.solver_for(5)
    assert (len(first.timesteps), len(second.timesteps)) == (3, 5)


def test_solvers_start_from_unit_variance() -> None:
    assert NoiseSchedule().solver_for(4).init_noise_sigma == 1
