"""How large a difference is, against two kinds of chance: other seeds, and other pictures."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from drip_lightning.report.variants import Variant


@dataclass(frozen=True)
class Summary:
    """A variant's score, raw.

    Attributes:
        mean: Mean over seeds of the mean over pictures.
        sd: Sample deviation over seeds; none with a single seed.
        seeds: Number of seeds.
    """

    mean: float
    sd: float | None
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A variant's score less that of the first, raw.

    Attributes:
        mean: Mean over the seeds that both have.
        half_width: Half of the 95 % interval of Student's t over these seeds' differences; none with a single seed.
        p_pictures: Two-sided Wilcoxon signed-rank test over pictures, each picture's scores averaged over the seeds
            first: pictures × seeds are not independent. It says whether other pictures would show the difference of
            these very networks, not whether other seeds would.
        seeds: Number of seeds.
        pictures: Number of pictures.
    """

    mean: float
    half_width: float | None
    p_pictures: float
    seeds: int
    pictures: int

    @property
    def exceeds_seeds(self) -> bool | None:
        """Whether the interval over seeds leaves out zero; none with a single seed."""
        return None if self.half_width is None else abs(self.mean) > self.half_width


def summarise(variant: Variant, metric: str) -> Summary | None:
    """A variant's score; none if it was not measured."""
    values = list(variant.per_seed(metric).values())
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(mean=float(np.mean(values)), sd=sd, seeds=len(values))


def compare(variant: Variant, first: Variant, metric: str) -> Difference | None:
    """A variant against the first, seed by seed and picture by picture; none if they have no seed in common."""
    own, other = variant.per_seed(metric), first.per_seed(metric)
    seeds = [seed for seed in own if seed in other]
    if not seeds:
        return None
    differences = np.array([own[seed] - other[seed] for seed in seeds])
    half_width = None
    if len(seeds) > 1:
        error = float(np.std(differences, ddof=1)) / np.sqrt(len(seeds))
        half_width = float(stats.t.ppf(0.975, len(seeds) - 1) * error)
    pictures, others = variant.per_picture(metric, seeds), first.per_picture(metric, seeds)
    paired = np.array([pictures[key] - others[key] for key in pictures if key in others])
    p_pictures = float(stats.wilcoxon(paired).pvalue) if np.any(paired) else 1.0
    return Difference(
        mean=float(differences.mean()),
        half_width=half_width,
        p_pictures=p_pictures,
        seeds=len(seeds),
        pictures=len(paired),
    )
