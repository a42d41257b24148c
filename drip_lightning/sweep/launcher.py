"""What a launcher is: it runs stages as processes somewhere, and says which have ended."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from drip_lightning.sweep.stage_job import StageJob


class Launcher(ABC):
    """Runs stages; which are ready, and what an end means, is not its business."""

    poll_seconds: float = 0.5
    """How often it is worth asking."""

    @abstractmethod
    def start(self, jobs: Sequence[StageJob]) -> list[str]:
        """Start as many of these as there is room for.

        Returns:
            The keys of the stages that were started, or are queued by now.
        """

    @abstractmethod
    def ended(self) -> dict[str, str]:
        """Stages that have ended since the last call, by key, and how: empty, or what was wrong."""

    @abstractmethod
    def stop(self) -> None:
        """The sweep is interrupted: make the stages save and end, if they are this process's to end."""
