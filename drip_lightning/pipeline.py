"""Matting with diffusers' habits: a trained model as one object."""

import json
import os
from pathlib import Path
from typing import Any, Self

from diffusers.models.modeling_utils import ModelMixin  # diffusers looks for it beside the components' classes
from safetensors import SafetensorError
from torch import nn

from drip_lightning.errors import InputError, raised_as
from drip_lightning.nn.channel_order import ChannelOrderModule
from drip_lightning.nn.half_size import HalfSizeUNetDecoderModule
from drip_lightning.nn.pipeline_folder import INDEX, check_files, seal
from drip_lightning.nn.plain_pipeline import MattingOutput, PlainMattingPipeline
from drip_lightning.nn.skip_decoder import SkipDecoderModule
from drip_lightning.nn.switcher import PosEncSwitcherModule
from drip_lightning.nn.transparency import UNetDecoderModule
from drip_lightning.nn.two_unets import TwoUNetsModule
from drip_lightning.shipped import shipped_model

__all__ = ["MattingOutput", "MattingPipeline", "ModelMixin"]

_OWN = (
    PosEncSwitcherModule,
    ChannelOrderModule,
    TwoUNetsModule,
    UNetDecoderModule,
    HalfSizeUNetDecoderModule,
    SkipDecoderModule,
)
"""Components that diffusers does not know."""


class MattingPipeline(PlainMattingPipeline):
    """Foreground and alpha of pictures, given trimaps, by a trained model: `pipe(image, trimap).rgba[0]`.

    Made by `from_pretrained`, or by a trained stage's `pipeline`. Its sampler is that of `drip matte`, `drip test` and
    validation: of the same picture, seed and sizes all make the same matte, bit for bit. Arguments and call are those
    of `PlainMattingPipeline`, which an exported folder carries, so that it works without this package, too.
    """

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[Any] | None = None, **kwargs: Any
    ) -> Self:
        """Load a model; nothing that lies in its folder is ever executed.

        Args:
            pretrained_model_name_or_path: A folder that `drip export` or `save_pretrained` wrote; none means the model
                that comes with the package.
            kwargs: As diffusers' own takes them: `dtype`, `variant`, components to be used in place of the folder's.

        Raises:
            InputError: there is no such folder, it is damaged or another program's.
        """
        folder = Path(pretrained_model_name_or_path or shipped_model())
        check_files(folder)
        with raised_as(
            InputError,
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            SafetensorError,
            message=lambda reason: f"cannot load {folder} ({reason})",
        ):
            return super().from_pretrained(folder, **kwargs)

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """Read `model_index.json`, where components that a folder brings code for are this package's own."""
        config = super().load_config(*args, **kwargs)
        own = {kind.__name__ for kind in _OWN}
        index = config[0] if isinstance(config, tuple) else config
        for name, value in index.items():
            if isinstance(value, list) and value[-1] in own:
                index[name] = [__name__, value[-1]]
        index["_class_name"] = cls.__name__
        return config

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The components that have weights."""
        return {name: one for name, one in self.components.items() if isinstance(one, nn.Module)}

    def save_pretrained(self, save_directory: str | os.PathLike[Any], *args: Any, **kwargs: Any) -> None:
        """Write a folder, as diffusers does, with a SHA-256 of each file in its `model_index.json`."""
        super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        seal(folder, json.loads((folder / INDEX).read_text()))
