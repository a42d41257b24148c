"""What can be evaluated: anything that makes mattes of a batch, one for each row of the table."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from drip_lightning.data.sample import MattingBatch
from drip_lightning.nn.sampler import Matte, Progress, no_progress


class Method(ABC):
    """Something that makes mattes, under a name.

    Attributes:
        name: What the table calls it; the last of its rows.
        networks: What has to be on the device, if anything.
        default_steps: Denoising steps if nobody asks for others; none for what does not sample, which is then
            evaluated once whatever the seeds and steps.
        progress: To be told how many parts of a picture's work are done, and of how many, by methods that know.
    """

    networks: nn.Module | None = None
    default_steps: int | None = None
    progress: Progress = staticmethod(no_progress)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def takes_known_alpha(self) -> bool:
        """Whether alpha is measured as the trimap's where that is sure, whatever was predicted."""
        return True

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, one for each matte that `mattes` returns."""
        return (self.name,)

    @abstractmethod
    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Matte a batch of one picture, one result for each row.

        Args:
            batch: Image and trimap, and the truth, which only a ceiling may look at.
            steps: Denoising steps, of a method that samples.
            seeds: One for each member of the ensemble whose median is the result.

        Raises:
            InputError: the method cannot be asked of such a picture.
        """

    def left_over(self, keys: Sequence[str]) -> list[str]:
        """Names of the files that it has for none of these pictures; a method that makes its mattes has none."""
        return []

    def brings_foreground(self, key: str) -> bool:
        """Whether the matte of a picture has a foreground to be measured."""
        return True

    @abstractmethod
    def describe(self) -> dict[str, str | int | float]:
        """The method's name and settings, in plain values, as the protocol of the results records them."""


class Trimap(Method):
    """Doing nothing: the trimap is the alpha, the image the foreground."""

    def __init__(self) -> None:
        super().__init__("trimap")

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Return trimap and image as they were given."""
        return (Matte(foreground=batch["image"], alpha=batch["trimap"]),)

    def describe(self) -> dict[str, str | int | float]:
        """Say that nothing is done."""
        return {"kind": "trimap as alpha, image as foreground"}
