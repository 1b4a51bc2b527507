"""The networks: generators, discriminators, and the VGG whose features define the content loss."""

from fastsr.models.base import Generator
from fastsr.models.compact import Compact
from fastsr.models.discriminator import Discriminator
from fastsr.models.generator import SRResNet
from fastsr.models.msrresnet import MSRResNet
from fastsr.models.rrdb import RRDBNet
from fastsr.models.span import SPAN
from fastsr.models.unet import PatchDiscriminator, UNetDiscriminator
from fastsr.models.vgg import VGG19Features

__all__ = [
    "SPAN", "Compact", "Discriminator", "Generator", "MSRResNet", "PatchDiscriminator", "RRDBNet", "SRResNet",
    "UNetDiscriminator", "VGG19Features",
]  # fmt: skip
