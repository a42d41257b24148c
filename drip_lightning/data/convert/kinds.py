"""What `drip prepare` knows how to read, by name."""

from collections.abc import Mapping
from typing import Any

from drip_lightning.data.convert.backgrounds import Backgrounds
from drip_lightning.data.convert.composites import Composites
from drip_lightning.data.convert.composition1k import Composition1kTest, Distinctions646Test
from drip_lightning.data.convert.foregrounds import Composition1kForegrounds, Distinctions646Foregrounds, Foregrounds
from drip_lightning.data.convert.triplets import Aim500, Alphamatting, Triplets

KINDS: Mapping[str, Any] = {
    kind.name: kind
    for kind in (
        Foregrounds,
        Backgrounds,
        Composition1kForegrounds,
        Distinctions646Foregrounds,
        Triplets,
        Composites,
        Composition1kTest,
        Distinctions646Test,
        Aim500,
        Alphamatting,
    )
}
"""Name to class."""
