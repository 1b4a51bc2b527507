"""The three networks of an SRGAN: generator, discriminator, and the VGG whose features define the content loss."""

from fastsr.models.discriminator import Discriminator
from fastsr.models.generator import SRResNet
from fastsr.models.vgg import VGG19Features

__all__ = ["Discriminator", "SRResNet", "VGG19Features"]
