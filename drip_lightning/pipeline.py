"""Matting with diffusers' habits: a trained model as one object."""

import json
import os
from pathlib import Path
from typing import Any, Self

from diffusers.models.modeling_utils import ModelMixin  # diffusers looks for it beside the components' classes
from safetensors import SafetensorError
from torch import nn

from drip_lightning import __version__
from drip_lightning.errors import InputError, raised_as
from drip_lightning.nn.attention import DomainAttention
from drip_lightning.nn.channel_order import ChannelOrderModule
from drip_lightning.nn.described import choice_of
from drip_lightning.nn.export_index import INDEX, check_files, seal
from drip_lightning.nn.half_size import HalfSizeUNetDecoderModule
from drip_lightning.nn.hub import local_folder
from drip_lightning.nn.joint_denoiser import Switcher
from drip_lightning.nn.plain_pipeline import MattingOutput, PlainMattingPipeline
from drip_lightning.nn.skip_decoder import SkipDecoderModule
from drip_lightning.nn.switcher import PosEncSwitcherModule
from drip_lightning.nn.transparency import UNetDecoderModule
from drip_lightning.nn.two_unets import TwoUNetsModule
from drip_lightning.shipped import shipped_model
from drip_lightning.standalone import is_own, standalone_source

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
_TITLES = {
    "pipeline": "Foreground and alpha of pictures, given trimaps (DRIP, NeurIPS 2024): a pipeline of diffusers.",
    "unet/joint_denoiser": "The joint-domain denoiser (DRIP Sec. 3.2): what a plain U-Net of diffusers is not.",
    "transparency_decoder/latent_decoder": "What mends the VAE's pictures (DRIP Sec. 3.3).",
}


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
            pretrained_model_name_or_path: A folder that `drip export` or `save_pretrained` wrote, or `USER/NAME` of one
                on the Hub, `USER/NAME@REVISION` to pin it; none means the model that comes with the package.
            kwargs: As diffusers' own takes them: `dtype`, `variant`, `revision`, components to be used in place of the
                folder's.

        Raises:
            InputError: there is no such model, it is damaged or another program's.
            RunError: it cannot be fetched now.
        """
        place = pretrained_model_name_or_path or shipped_model()
        folder = local_folder(place, revision=kwargs.pop("revision", None))
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
        for config in folder.glob("*/config.json"):  # diffusers tells in it where a part once lay on this machine
            said = json.loads(config.read_text())
            if said.pop("_name_or_path", None) is not None:
                config.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
        index = json.loads((folder / INDEX).read_text())
        seal(folder, index | self._write_code(folder))

    def _write_code(self, folder: Path) -> dict[str, list[str]]:
        """Write what the folder needs to work without this package; what its index then says."""
        sampler, unet, decoder = self.sampler(), self.unet, self.transparency_decoder
        switcher = choice_of(unet.config["switcher"], Switcher)
        attention = choice_of(unet.config["attention"], DomainAttention)
        needed: dict[str, tuple[Any, ...]] = {"pipeline": (PlainMattingPipeline, sampler.noise, sampler.hints)}
        needed["pipeline"] += (sampler.schedule, sampler.schedule.solver)
        needed["unet/joint_denoiser"] = (unet, switcher, attention)
        needed |= {} if decoder is None else {"transparency_decoder/latent_decoder": (decoder,)}
        kinds = {name: [one if isinstance(one, type) else type(one) for one in own] for name, own in needed.items()}
        if not all(is_own(kind) for own in kinds.values() for kind in own):
            return {}  # a stranger's class is wherever it is: such a folder works with this package alone
        index = {}
        for name, own in kinds.items():
            source = standalone_source(own, title=_TITLES[name], version=__version__)
            (folder / f"{name}.py").write_text(source)
            component, _, file = name.rpartition("/")
            index[component or "_class_name"] = [file, own[0].__name__]
        return index
