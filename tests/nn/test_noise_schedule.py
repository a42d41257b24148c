import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.nn.noise_schedule import NoiseSchedule


def test_alphas_cumprod_are_stable_diffusions() -> None:
    """`scaled_linear`: the square roots of the betas are linear."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    expected = (1 - betas).cumprod(0).float()
    torch.testing.assert_close(NoiseSchedule().alphas_cumprod(), expected, atol=1e-6, rtol=1e-5)


def test_trailing_steps_start_at_the_last_timestep() -> None:
    schedule = NoiseSchedule()
    assert schedule.solver(10).timesteps.tolist() == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert schedule.solver(1).timesteps.tolist() == [999]


def test_leading_steps_never_reach_it() -> None:
    timesteps = NoiseSchedule(timestep_spacing="leading").solver(10).timesteps
    assert len(timesteps) == 10
    assert timesteps.max() < 950


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
    first, second = schedule.solver(3), schedule.solver(5)
    assert (len(first.timesteps), len(second.timesteps)) == (3, 5)


def test_solvers_start_from_unit_variance() -> None:
    assert NoiseSchedule().solver(4).init_noise_sigma == 1
