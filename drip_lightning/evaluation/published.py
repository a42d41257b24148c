"""What others report for a set, with the source of each row: shown beside our own rows, never among them."""

from dataclasses import dataclass
from typing import Literal

from drip_lightning.nn.metrics import Region


@dataclass(frozen=True)
class PublishedRow:
    """One published row, in the tables' units: SAD, Grad and Conn /10³, MSE ×10³.

    Attributes:
        method: Name of the method.
        source: Where the figures were read.
        region: Where they were measured; `fractional` is 0 < alpha < 1.
        given: What the method was given beside the image.
        scores: Column of the tables to figure.
    """

    method: str
    source: str
    region: Region | Literal["fractional"]
    given: str
    scores: dict[str, float]


def _alpha(method: str, source: str, *scores: float, region: Region = "unknown", given: str = "trimap") -> PublishedRow:
    columns = ("alpha_sad", "alpha_mse", "alpha_gradient", "alpha_connectivity")
    return PublishedRow(method, source, region, given, dict(zip(columns, scores, strict=False)))


def _foreground(method: str, source: str, *scores: float, region: Region | Literal["fractional"]) -> PublishedRow:
    columns = ("foreground_sad", "foreground_mse")
    return PublishedRow(method, source, region, "trimap", dict(zip(columns, scores, strict=False)))


_DERIVED = "derived from gains that the DRIP paper states"

PUBLISHED: dict[str, tuple[PublishedRow, ...]] = {
    "composition1k": (
        _alpha("DIM", "MMagic configs/dim, the paper's column", 50.4, 14, 31.0, 50.8),
        _alpha("IndexNet", "MMagic configs/indexnet, the paper's column", 45.8, 13, 25.9, 43.7),
        _alpha("GCA", "GCA-Matting README", 35.28, 9.1, 16.92, 32.53),
        _alpha("FBA", "FBA_Matting README", 26.4, 5.4, 10.6, 21.5),
        _alpha("TransMatting", "TransMatting README", 24.96, 4.58, 9.72, 20.16),
        _alpha("MatteFormer", "matteformer README", 23.80, 4.03, 8.68, 18.90),
        _alpha("LFPNet", "LFPNet README", 22.37, 3.60, 7.59, 17.14),
        _alpha("ViTMatte-S", "ViTMatte README", 21.46, 3.3, 7.24, 16.21),
        _alpha("MEMatte-B", "MEMatte README", 21.06, 3.11, 6.70, 15.71),
        _alpha("DRIP", _DERIVED + " over ViTMatte-S", 20.8, 3.1),
        _alpha("DiffMatte ViT-S", "DiffMatte README", 20.52, 3.06, 7.05, 14.85),
        _alpha("ViTMatte-B", "ViTMatte README", 20.33, 3.0, 6.74, 14.78),
        _alpha("DiffMatte ViT-B", "DiffMatte README", 18.63, 2.54, 5.82, 13.10),
        _alpha("AEMatter", "AEMatter README", 17.53, 2.26, 4.76, 12.46),
        _alpha("DiffMatte ViT-S (1024)", "DiffMatte README", 17.15, 2.26, 5.13, 11.42),
        _foreground("FBA, foreground", _DERIVED, 38.81, 5.98, region="unknown"),
        _foreground("DRIP, foreground", _DERIVED + " over FBA", 34.1, 4.3, region="unknown"),
    ),
    "aim500": (
        _alpha("AIM", "AIM paper", 43.92, 16.1, region="whole", given="nothing"),
        _alpha("DRIP", _DERIVED + " over AIM", 17.3, 1.5, region="whole"),
        _alpha("AEMatter (real-world augmentation)", "AEMatter README", 14.76, 11.69, 11.20, 14.20),
        _alpha("MEMatte ViT-S (mixed data)", "MEMatte README", 13.90, 11.17, 10.94, 12.78),
    ),
    "alphamatting": (
        _foreground(
            "image as foreground", "PyMatting foreground-estimation-evaluation README", 41.39, 5.66, region="fractional"
        ),
        _foreground("multilevel, closed-form alpha", "same", 42.07, region="fractional"),
        _foreground("multilevel, true alpha", "same", 20.85, 1.44, region="fractional"),
    ),
}
"""Set to rows; the sets are called as `drip prepare` calls them."""


def published_rows(set_name: str) -> tuple[PublishedRow, ...]:
    """Rows for a set by its name, such as `composition1k-test`; none for one that nobody reports."""
    plain = "".join(letter for letter in set_name.lower() if letter.isalnum())
    return next((rows for name, rows in PUBLISHED.items() if plain.startswith(name)), ())
