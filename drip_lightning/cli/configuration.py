"""What `drip fit` would run, without running it."""

import os
from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace

from drip_lightning.choices import with_paths
from drip_lightning.cli.config_parser import one_line
from drip_lightning.cli.environment import with_environment
from drip_lightning.cli.lightning_cli import DripCLI
from drip_lightning.errors import InputError, raised_as
from drip_lightning.moved import moved_paths, moved_places
from drip_lightning.shipped import with_found_configs


class FitConfigurations(DripCLI):
    """Arguments of `drip fit` to the configuration they resolve to: the text of the run folder's `config.yaml`."""

    def __init__(self) -> None:
        os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # LightningCLI's, not the user's
        super().__init__(args=["fit"])

    def __call__(self, arguments: Sequence[str]) -> str:
        """Resolve.

        Raises:
            InputError: the arguments do not fit the classes.
        """
        config = self.parser.parse_args(["fit", *with_found_configs(arguments)]).fit
        return self._parser("fit").dump(config, skip_none=False)

    def instantiate(self, arguments: Sequence[str]) -> Namespace:
        """Make stage (`model`), `data`, and what `trainer` is given, but no trainer: no device is looked for.

        Raises:
            InputError: the arguments do not fit the classes.
        """
        words = [with_paths(word) for word in with_found_configs(with_environment(["fit", *arguments]))]
        config = self.parser.parse_args(words).fit
        moved = moved_places(config.moved)
        for key, value in config.model.items():
            config.model[key] = moved_paths(value, moved)
        with raised_as(InputError, ValueError, message=one_line):
            return self._parser("fit").instantiate_classes(config)

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Parse nothing yet, and name no verb to run."""
        self.config = Namespace(subcommand=None)

    def _parse_ckpt_path(self) -> None:
        """Look for no checkpoint."""

    def _set_seed(self) -> None:
        """Leave random numbers alone."""

    def instantiate_classes(self) -> None:
        """Build nothing: the configuration alone is wanted."""
