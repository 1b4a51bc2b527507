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
            scale=scale, blocks=blocks, filters=filters, skip=skip, output=output
        ):
            return SRResNet(scale, blocks, filters, skip, output)
        case MSRResNetArchitecture(scale=scale, blocks=blocks, filters=filters):
            return MSRResNet(scale, blocks, filters)
        case RRDBArchitecture(
            scale=scale, blocks=blocks, filters=filters, growth=growth, unshuffle=unshuffle
        ):
            return RRDBNet(scale, blocks, filters, growth, unshuffle)
        case CompactArchitecture(scale=scale, blocks=blocks, filters=filters):
            return Compact(scale, blocks, filters)
        case SPANArchitecture(scale=scale, filters=filters, normalise=normalise):
            return SPAN(scale, filters, normalise)


def build_discriminator(architecture: DiscriminatorArchitecture) -> AnyDiscriminator:
    """The discriminator described, with torch's initial weights."""
    match architecture:
        case VGGDiscriminatorArchitecture(patch=patch, filters=filters):
            return Discriminator(patch, filters)
        case UNetDiscriminatorArchitecture(filters=filters):
            return UNetDiscriminator(filters)
        case PatchDiscriminatorArchitecture(filters=filters, layers=layers):
            return PatchDiscriminator(filters, layers)


def generator_architecture(model: ModelConfig) -> GeneratorArchitecture:
    """The generator that settings mean."""
    scale, blocks, filters = model.scale, model.blocks, model.filters
    match model.generator:
        case "srresnet":
            return SRResNetArchitecture(
                scale=scale, blocks=blocks, filters=filters, skip=model.skip, output=model.output
            )
        case "msrresnet":
            return MSRResNetArchitecture(scale=scale, blocks=blocks, filters=filters)
        case "rrdb":
            unshuffle = UNSHUFFLE.get(scale, 1)
            return RRDBArchitecture(
                scale=scale,
                blocks=blocks,
                filters=filters,
                growth=model.growth,
                unshuffle=unshuffle,
            )
        case "compact":
            return CompactArchitecture(scale=scale, blocks=blocks, filters=filters)
        case "span":
            return SPANArchitecture(scale=scale, filters=filters)


def discriminator_architecture(model: ModelConfig, patch: int) -> DiscriminatorArchitecture:
    """The discriminator that settings mean, for patches of this side."""
    match model.discriminator:
        case "vgg":
            return VGGDiscriminatorArchitecture(patch=patch, filters=model.discriminator_filters)
        case "unet":
            return UNetDiscriminatorArchitecture(filters=model.discriminator_filters)
        case "patch":
            return PatchDiscriminatorArchitecture(filters=model.discriminator_filters)
