"""Foreground padding compared: Alg. 2 as written, its normalised form and push-pull, on objects whose colour is known.

    python benchmarks/padding.py [--picture docs/padding.jpg]

Prints how much of what lies 32 pixels and more from the object stays black, how far the first 8 pixels beside it are
from the true colour, and the CPU time of a 512x512 picture.
"""

import argparse
import time

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

from drip_lightning.data.synth.families import draw_foreground
from drip_lightning.ops.padding import (
    pad_foreground_blur,
    pad_foreground_normalised_blur,
    pad_foreground_push_pull,
)

SIZE = 512
PADDINGS = {
    "blur (Alg. 2)": pad_foreground_blur,
    "normalised_blur": pad_foreground_normalised_blur,
    "push_pull": pad_foreground_push_pull,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", help="also draw one object's colours, unpadded and padded each way")
    options = parser.parse_args()
    torch.set_num_threads(1)
    drawn = [draw_foreground(family, SIZE, np.random.default_rng(3)) for family in ("strands", "foliage", "solid")]
    pad_foreground_push_pull(*_tensors(*drawn[0]))  # compiles
    print("| padding | black beyond 32 px | error within 8 px, of 255 | CPU ms |\n|---|---:|---:|---:|")
    rows = []
    for name, pad in PADDINGS.items():
        black, error, spent = [], [], []
        for colour, alpha in drawn:
            foreground, weight = _tensors(colour, alpha)
            began = time.process_time()
            padded = pad(foreground, weight)[0].permute(1, 2, 0).numpy()
            spent.append(1000 * (time.process_time() - began))
            distance = distance_transform_edt(alpha == 0)
            black.append(float((padded[distance > 32] < 8).all(-1).mean()))
            near = (distance > 0) & (distance <= 8)
            error.append(np.abs(padded[near].astype(int) - colour[near]).mean())
            if len(rows) < len(PADDINGS) and len(black) == 1:
                rows.append(padded)
        print(f"| `{name}` | {100 * np.mean(black):.0f} % | {np.mean(error):.1f} | {np.mean(spent):.1f} |")
    if options.picture:
        colour, alpha = drawn[0]
        hidden = np.where(alpha[..., None] > 0, colour, 0)
        Image.fromarray(np.hstack([hidden, *rows])).resize((1024, 256), Image.Resampling.LANCZOS).save(
            options.picture, quality=85
        )


def _tensors(colour: np.ndarray, alpha: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    hidden = np.where(alpha[..., None] > 0, colour, 0).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(hidden))[None], torch.from_numpy(alpha.copy())[None, None]


if __name__ == "__main__":
    main()
