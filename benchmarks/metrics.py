"""Milliseconds of the four alpha metrics on one 1080×1080 pair, against the usual NumPy and SciPy way of writing them.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--runs 11]

One thread; both ways take turns in one process and the median of the runs counts. 39 % of the pixels are unknown.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.ndimage
import torch
from rich.console import Console
from rich.table import Table

from drip_lightning.ops.connectivity import connectivity
from drip_lightning.ops.metrics import gradient, mse, sad

SIDE = 1080
UNKNOWN_SHARE = 0.39


def matting_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A blob with a ragged soft edge, a prediction of it that errs in the unknown region, and that region."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    rough, error = (scipy.ndimage.gaussian_filter(generator.standard_normal((SIDE, SIDE)), sigma) for sigma in (2, 3))
    depth = 0.36 - np.hypot(x, y) + 0.4 * rough
    soft = np.quantile(np.abs(depth), UNKNOWN_SHARE)
    target = np.clip(depth / soft / 2 + 0.5, 0, 1)
    unknown = (target > 0) & (target < 1)
    preds = np.clip(target + 1.2 * error * unknown, 0, 1)
    preds, target = ((np.round(255 * maps).astype(np.float32)) / np.float32(255) for maps in (preds, target))
    return preds, target, unknown


def plain_sad(preds: np.ndarray, target: np.ndarray, unknown: np.ndarray) -> float:
    return float(np.abs(preds - target)[unknown].sum())


def plain_mse(preds: np.ndarray, target: np.ndarray, unknown: np.ndarray) -> float:
    return float(((preds - target) ** 2)[unknown].mean())


def plain_gradient(preds: np.ndarray, target: np.ndarray, unknown: np.ndarray) -> float:
    """Separable already: `scipy.ndimage.correlate1d`."""
    u = np.arange(-4, 5)
    gauss = np.exp(-(u**2) / (2 * 1.4**2))
    slope = u * gauss
    gauss, slope = gauss / np.linalg.norm(gauss), slope / np.linalg.norm(slope)

    def magnitude(maps: np.ndarray) -> np.ndarray:
        stretched = (maps - maps.min()) / (maps.max() - maps.min())
        by_axis = [
            scipy.ndimage.correlate1d(
                scipy.ndimage.correlate1d(stretched, first, 0, mode="nearest"), second, 1, mode="nearest"
            )
            for first, second in ((gauss, slope), (slope, gauss))
        ]
        return np.hypot(*by_axis)

    return float(((magnitude(preds) - magnitude(target)) ** 2)[unknown].sum())


def plain_connectivity(preds: np.ndarray, target: np.ndarray, unknown: np.ndarray) -> float:
    """Ten thresholds, each labelled."""
    connected = np.full(preds.shape, -1, np.float32)
    for step in range(1, 11):
        labels, count = scipy.ndimage.label(np.minimum(preds, target) >= np.float32(step / 10))
        largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1 if count else np.zeros(preds.shape, bool)
        connected[(connected == -1) & ~largest] = np.float32((step - 1) / 10)
    connected[connected == -1] = 1
    phi = [1 - (maps - connected) * (maps - connected >= np.float32(0.15)) for maps in (preds, target)]
    return float(np.abs(phi[0] - phi[1])[unknown].sum())


WAYS: dict[str, tuple[Callable, Callable]] = {
    "SAD": (sad, plain_sad),
    "MSE": (mse, plain_mse),
    "Gradient": (gradient, plain_gradient),
    "Connectivity": (connectivity, plain_connectivity),
}


def milliseconds(measure: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    measure(*arguments)
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11, help="how often each way is timed (default: %(default)s)")
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    arrays = matting_pair(seed=0)
    tensors = [torch.from_numpy(maps)[None, None] for maps in arrays]
    for name, (measure, plain) in WAYS.items():
        np.testing.assert_allclose(measure(*tensors).item(), plain(*arrays), rtol=1e-4, err_msg=name)

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(runs):
        for name, (measure, plain) in WAYS.items():
            times[name].append((milliseconds(measure, *tensors), milliseconds(plain, *arrays)))

    table = Table("metric", title=f"{SIDE}×{SIDE}, {arrays[2].mean():.0%} unknown, one thread, median of {runs} runs")
    for heading in ("here, ms", "plain, ms", "ratio"):
        table.add_column(heading, justify="right")
    in_all = [tuple(map(sum, zip(*row, strict=True))) for row in zip(*times.values(), strict=True)]
    for name, pairs in (times | {"all four": in_all}).items():
        here, usual = (statistics.median(column) for column in zip(*pairs, strict=True))
        table.add_row(name, f"{here:.1f}", f"{usual:.1f}", f"{usual / here:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
