"""From noise to latents."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.ops.domains import pair_domains, unpair_domains
from drip_lightning.ops.transfer import to_device


def sample_latents(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor], noise: Tensor, schedule: NoiseSchedule, *, steps: Sequence[int]
) -> Tensor:
    """Denoise, each sample in its own number of steps of the schedule's solver (DRIP Sec. 3.2: 10 of DPM-Solver++).

    Samples go side by side: the i-th step of all that have one is a single call of `denoise`. Nothing waits for the
    device, and nothing is sent to it between steps.

    Args:
        denoise: `(noisy latents (2b, C, h, w), timesteps (b,), places (b,)) -> prediction (2b, C, h, w)`, for the b
            samples at these places in the batch, domains stacked.
        noise: (2B, C, h, w) starting latents of unit variance, domains stacked.
        schedule: Betas, prediction type and spacing of the steps.
        steps: Steps of each of the B samples, at least 1.

    Returns:
        Clean latents (2B, C, h, w).

    Raises:
        ValueError: if a number of steps is not in [1, T].
    """
    if min(steps) < 1 or max(steps) > schedule.num_train_timesteps:
        raise ValueError(f"steps: expected 1 to {schedule.num_train_timesteps}, got {min(steps)} to {max(steps)}")
    longest_first = sorted(range(len(steps)), key=lambda place: -steps[place])  # those still active are the first
    counts = [steps[place] for place in longest_first]
    solvers = {count: schedule.solver_for(count) for count in counts}
    groups = {count: slice(counts.index(count), counts.index(count) + counts.count(count)) for count in counts}
    timesteps = torch.zeros(counts[0], len(counts), dtype=torch.long)
    for count, group in groups.items():
        timesteps[:count, group] = solvers[count].timesteps[:, None]
    places, timesteps = to_device(torch.tensor(longest_first), noise.device), to_device(timesteps, noise.device)

    latents = pair_domains(noise)[places]
    for step in range(counts[0]):
        active = sum(count > step for count in counts)
        prediction = denoise(unpair_domains(latents[:active]), timesteps[step, :active], places[:active])
        prediction = pair_domains(prediction).to(latents)
        for count, group in groups.items():
            if count > step:
                solver = solvers[count]
                latents[group] = solver.step(
                    prediction[group], solver.timesteps[step], latents[group], return_dict=False
                )[0]
    return unpair_domains(latents[places.argsort()])
