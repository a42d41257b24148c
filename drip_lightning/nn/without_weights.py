"""Networks without weights, to be counted: their shapes alone, from configurations."""

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.nn.pretrained import Networks


class WithoutWeights(Networks):
    """Other networks' architecture: no weights are read or drawn.

    Args:
        networks: The others.
    """

    has_pretrained_unet = False

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.transparency_channels = networks.transparency_channels
        self.transparency_layers = networks.transparency_layers

    def new_vae(self) -> AutoencoderKL:
        """As the others do."""
        return self.networks.new_vae()

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        """Never with weights."""
        return self.networks.trained_vae(pretrained=False)

    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        """Never with weights."""
        return self.networks.unet(pretrained=False)

    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        """Never with its values."""
        return self.networks.prompt_embedding(pretrained=False)
