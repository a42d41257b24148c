"""What the data module hands to Lightning: loaders that begin where a run is, and whose workers can be ended."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from drip_lightning.data.compose import Composer, CompositeBatch, Layers, as_batch, stack_layers
from drip_lightning.data.sample import MattingBatch
from drip_lightning.ops.hints.choice import Hints


class EndlessLoader:
    """A loader made anew each time it is iterated, so that it begins where the run is by then.

    It is not a `DataLoader`, so Lightning does not put a sampler of its own into it, and it has no length.
    """

    def __init__(self, make_loader: Callable[[], DataLoader[Layers]]) -> None:
        self._make_loader = make_loader

    def __iter__(self) -> Iterator[Any]:
        self._iterator = iter(self._make_loader())
        return self._iterator


class EvaluationLoader(DataLoader[MattingBatch]):
    """Keeps its iterator where Lightning looks for one to end the workers of."""

    def __iter__(self) -> Any:
        self._iterator = super().__iter__()
        return self._iterator


def compose_in_worker(composer: Composer, hints: Hints, samples: list[Layers]) -> CompositeBatch:
    """A worker's batch of layers as composites, with the hints that the stage in training wants."""
    composite = composer.compose(stack_layers(samples))
    if hints.guesses:
        seen = as_batch(composite)
        composite["hints"] = hints.as_uint8(seen["image"], seen["trimap"])
    return composite
