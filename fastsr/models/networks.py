"""Networks from their descriptions."""

from fastsr.config.networks import ModelConfig
from fastsr.models.architecture import (
    CompactArchitecture,
    DiscriminatorArchitecture,
    GeneratorArchitecture,
    MSRResNetArchitecture,
    PatchDiscriminatorArchitecture,
    RRDBArchitecture,
    SPANArchitecture,
    SRResNetArchitecture,
    UNetDiscriminatorArchitecture,
    VGGDiscriminatorArchitecture,
)
from fastsr.models.base import Generator
from fastsr.models.compact import Compact
from fastsr.models.discriminator import Discriminator
from fastsr.models.generator import SRResNet
from fastsr.models.msrresnet import MSRResNet
from fastsr.models.rrdb import UNSHUFFLE, RRDBNet
from fastsr.models.span import SPAN
from fastsr.models.unet import PatchDiscriminator, UNetDiscriminator

AnyDiscriminator = Discriminator | UNetDiscriminator | PatchDiscriminator


def build_generator(architecture: GeneratorArchitecture) -> Generator:
    """The generator described, with torch's or its own initial weights. Raises UserError for a scale that it lacks."""
    match architecture:
        case SRResNetArchitecture(
            scale=scale, blocks=blocks, filters=filters, skip=skip, output=output, channels=channels
        ):
            return SRResNet(scale, blocks, filters, skip, output, channels)
        case MSRResNetArchitecture(scale=scale, blocks=blocks, filters=filters, channels=channels):
            return MSRResNet(scale, blocks, filters, channels)
        case RRDBArchitecture(
            scale=scale,
            blocks=blocks,
            filters=filters,
            growth=growth,
            unshuffle=unshuffle,
            channels=channels,
        ):
            return RRDBNet(scale, blocks, filters, growth, unshuffle, channels)
        case CompactArchitecture(scale=scale, blocks=blocks, filters=filters, channels=channels):
            return Compact(scale, blocks, filters, channels)
        case SPANArchitecture(scale=scale, filters=filters, normalise=normalise, channels=channels):
            return SPAN(scale, filters, normalise, channels)


def build_discriminator(architecture: DiscriminatorArchitecture) -> AnyDiscriminator:
    """The discriminator described, with torch's initial weights."""
    match architecture:
        case VGGDiscriminatorArchitecture(patch=patch, filters=filters, channels=channels):
            return Discriminator(patch, filters, channels)
        case UNetDiscriminatorArchitecture(filters=filters, channels=channels):
            return UNetDiscriminator(filters, channels)
        case PatchDiscriminatorArchitecture(filters=filters, layers=layers, channels=channels):
            return PatchDiscriminator(filters, layers, channels)


def generator_architecture(model: ModelConfig) -> GeneratorArchitecture:
    """The generator that settings mean."""
    scale, blocks, filters = model.scale, model.blocks, model.filters
    channels = model.channels
    match model.generator:
        case "srresnet":
            return SRResNetArchitecture(
                scale=scale,
                blocks=blocks,
                filters=filters,
                skip=model.skip,
                output=model.output,
                channels=channels,
            )
        case "msrresnet":
            return MSRResNetArchitecture(
                scale=scale, blocks=blocks, filters=filters, channels=channels
            )
        case "rrdb":
            unshuffle = UNSHUFFLE.get(scale, 1)
            return RRDBArchitecture(
                scale=scale,
                blocks=blocks,
                filters=filters,
                growth=model.growth,
                unshuffle=unshuffle,
                channels=channels,
            )
        case "compact":
            return CompactArchitecture(
                scale=scale, blocks=blocks, filters=filters, channels=channels
            )
        case "span":
            return SPANArchitecture(scale=scale, filters=filters, channels=channels)


def discriminator_architecture(model: ModelConfig, patch: int) -> DiscriminatorArchitecture:
    """The discriminator that settings mean, for patches of this side."""
    filters, channels = model.discriminator_filters, model.channels
    match model.discriminator:
        case "vgg":
            return VGGDiscriminatorArchitecture(patch=patch, filters=filters, channels=channels)
        case "unet":
            return UNetDiscriminatorArchitecture(filters=filters, channels=channels)
        case "patch":
            return PatchDiscriminatorArchitecture(filters=filters, channels=channels)
