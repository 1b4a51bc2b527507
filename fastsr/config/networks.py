"""Settings of networks: those of all peers, and those of single ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

GeneratorName = Literal["srresnet", "msrresnet", "rrdb", "compact", "span"]
DiscriminatorName = Literal["vgg", "unet", "patch"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Networks of each peer."""

    scale: Literal[1, 2, 3, 4, 8] = 4
    """Upscaling factor. 1: restoration, which learns from --degrade or --lr-data."""
    channels: int = 3
    """Channels of the images, which all networks take and give: 3 RGB, 1 grey, 4 RGBA or CMYK, or as many as TIFF
    stacks and .npy arrays have. Colours become grey, and grey becomes RGB; other numbers must be those of the files."""
    blocks: int = 32
    """Residual blocks of the generator; convolutions of compact. Usual: srresnet 32, msrresnet 16, rrdb 23, compact 16.
    No effect on span, which has six."""
    filters: int = 64
    """Channels of the generator. Usual: 64, span 48."""
    skip: Literal["none", "nearest", "bicubic"] = "none"
    """Global skip: how the image is enlarged that the generator only adds details to. none: it makes all of the image,
    as in the paper. Small networks and short runs need one for colours."""
    discriminator_filters: int = 64
    """Channels of the discriminator's first convolution; its widest has eight times as many."""
    generator: GeneratorName = "srresnet"
    """SRGAN's srresnet; without batch normalisation BasicSR's msrresnet, ESRGAN's rrdb, Real-ESRGAN's compact, span."""
    growth: int = 32
    """Channels that each convolution of a dense block adds. No effect unless the generator is rrdb."""
    output: Literal["tanh", "linear"] = "tanh"
    """The end of srresnet: squashed to 0 to 1 as in SRGAN, or as it is. No effect with --skip or other generators."""
    discriminator: DiscriminatorName = "vgg"
    """SRGAN's vgg with one logit for a patch; Real-ESRGAN's unet with one for each pixel; pix2pix's patch between."""
    init_generator: tuple[Path, ...] = ()
    """Files of generators to start from, one for all peers or one each; their networks must be those of the settings.
    Ours, or BasicSR's and others' (.pth, .safetensors). No effect when a run is continued."""
    init_discriminator: tuple[Path, ...] = ()
    """Files of discriminators to start from, one for all peers or one each. No effect when a run is continued."""


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """Settings of one peer that differ from the others', as a table [[cohort.peer]] of a TOML file; unset: as all."""

    generator: GeneratorName | None = None
    blocks: int | None = None
    filters: int | None = None
    growth: int | None = None
    skip: Literal["none", "nearest", "bicubic"] | None = None
    output: Literal["tanh", "linear"] | None = None
    discriminator: DiscriminatorName | None = None
    discriminator_filters: int | None = None
    init_generator: Path | None = None
    init_discriminator: Path | None = None
    lr: float | None = None
    """Learning rate of this peer's generator and discriminator; milestones hold for it, too."""
    content_weight: float | None = None
    """Fixed weight of this peer's content loss; where content weights are measured, this one is not."""
    adversarial_weight: float | None = None


def with_absolute_files(peer: PeerConfig) -> PeerConfig:
    generator, discriminator = peer.init_generator, peer.init_discriminator
    return replace(
        peer,
        init_generator=generator and generator.absolute(),
        init_discriminator=discriminator and discriminator.absolute(),
    )
