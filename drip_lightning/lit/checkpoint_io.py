"""How Lightning reads a run's checkpoints: plain values only, and what is wrong with a file is said by its name."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from drip_lightning.lit.stage import newest_checkpoint, read_checkpoint


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's own writer; a reader that also takes a run folder, whose newest checkpoint is meant."""

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint to the CPU, whatever `map_location`; never anything but `weights_only`.

        Raises:
            InputError: as `newest_checkpoint` and `read_checkpoint`.
        """
        return read_checkpoint(newest_checkpoint(Path(path)))
