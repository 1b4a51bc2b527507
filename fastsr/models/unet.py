"""The discriminators whose logits are a map: Real-ESRGAN's U-Net, and pix2pix's for patches."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, normalize

from fastsr.models.architecture import CHANNELS
from fastsr.models.base import in_fp32
from fastsr.models.norm import BatchNorm
from fastsr.system.precision import exactly

SLOPE = 0.2
EPSILON = 1e-12
UNET_MULTIPLE = 8
"""Sides of images of the U-Net are multiples: it halves them three times, and adds what it doubles."""


class SpectralConv(nn.Module):
    """A convolution without bias, its weights divided by their largest singular value.

    Entries of its state are those of torch.nn.utils.spectral_norm: `weight_orig`, and the singular vectors `weight_u`
    and `weight_v`, which each forward pass in training mode improves in place by one power iteration, in fp32.

    Source: Miyato et al., "Spectral normalization for GANs", ICLR 2018.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        weight = nn.Conv2d(c_in, c_out, kernel, bias=False).weight  # torch's initial weights
        self.weight_orig = nn.Parameter(weight.detach())
        for name, length in (("weight_u", c_out), ("weight_v", c_in * kernel**2)):
            self.register_buffer(name, normalize(torch.randn(length), dim=0, eps=EPSILON))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.normalised(), stride=self.stride, padding=1)

    def normalised(self) -> Tensor:
        """The weights over the largest singular value that the vectors tell; the vectors count as constants."""
        with exactly(self.weight_orig.device):
            weight = in_fp32(self.weight_orig)
            # a reshape of channels-last weights copies: once, for all that follows
            matrix = weight.reshape(weight.shape[0], -1)
            if self.training:
                self.iterate(matrix)
            # Copies: the next pass changes the vectors, and this one's gradients need them as they were.
            sigma = torch.dot(self.weight_u.clone(), torch.mv(matrix, self.weight_v.clone()))
            return weight / sigma

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """One power iteration, in place: a captured step goes on from where the last one left the vectors."""
        self.weight_v.copy_(normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=EPSILON))
        self.weight_u.copy_(normalize(torch.mv(matrix, self.weight_v), dim=0, eps=EPSILON))


class Double(nn.Module):
    """LeakyReLU, plus what came before by the shortcut if anything, doubled bilinearly."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        x = leaky_relu(x, SLOPE)
        x = x if shortcut is None else x + shortcut
        return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation: a logit for each pixel.

    Takes `[N, C, H, W]` in [0, 1], sides multiples of 8, and returns fp32 logits `[N, 1, H, W]`; positive means "real".
    Names of weights are Real-ESRGAN's (`conv0` ... `conv9`).

    Args:
        filters: channels of the first convolution (64); the widest has eight times as many. channels: C, of the images.
    Source: Wang et al., "Real-ESRGAN", 2021, section 3.3.
    """

    def __init__(self, filters: int = 64, channels: int = CHANNELS) -> None:
        super().__init__()
        f = self.filters = filters
        self.conv0 = nn.Conv2d(channels, f, 3, padding=1)
        self.conv1 = SpectralConv(f, 2 * f, 4, stride=2)
        self.conv2 = SpectralConv(2 * f, 4 * f, 4, stride=2)
        self.conv3 = SpectralConv(4 * f, 8 * f, 4, stride=2)
        self.conv4 = SpectralConv(8 * f, 4 * f, 3)
        self.conv5 = SpectralConv(4 * f, 2 * f, 3)
        self.conv6 = SpectralConv(2 * f, f, 3)
        self.conv7 = SpectralConv(f, f, 3)
        self.conv8 = SpectralConv(f, f, 3)
        self.conv9 = nn.Conv2d(f, 1, 3, padding=1)
        # No entries of a state: between convolutions, which stay eager (see Discriminator.compile_blocks).
        self.doubles = nn.ModuleList(Double() for _ in range(3))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x0 = leaky_relu(self.conv0(x_NCHW), SLOPE)
        x1 = leaky_relu(self.conv1(x0), SLOPE)
        x2 = leaky_relu(self.conv2(x1), SLOPE)
        x = self.doubles[0](self.conv3(x2))
        x = self.doubles[1](self.conv4(x), x2)
        x = self.doubles[2](self.conv5(x), x1)
        x = leaky_relu(self.conv6(x), SLOPE) + x0
        x = leaky_relu(self.conv7(x), SLOPE)
        return in_fp32(self.conv9(leaky_relu(self.conv8(x), SLOPE)))

    def compile_blocks(self) -> None:
        """Compiles in place what lies between convolutions; those stay eager, as in `Discriminator`."""
        for double in self.doubles:
            double.compile(fullgraph=True, dynamic=False)


class LeakyBatchNorm(BatchNorm):
    """BN - LeakyReLU(0.2) in one module, whose entries are those of BN."""

    def forward(self, input: Tensor) -> Tensor:
        if self.fuses(input):
            return self.by_operator(input, SLOPE)
        return leaky_relu(super().forward(input), SLOPE)


class PatchDiscriminator(nn.Module):
    """Strided 4x4 convolutions: a logit for each of many overlapping parts of the image, 70 pixels wide by default.

    Takes `[N, C, H, W]` in [0, 1] and returns fp32 logits `[N, 1, H', W']`; positive means "real". Names of weights are
    those of pix2pix (`model.0`, `model.2`, ...).

    Args:
        filters: channels of the first convolution (64). layers: convolutions that halve the image (3).
        channels: C, of the images.
    Source: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
    """

    def __init__(self, filters: int = 64, layers: int = 3, channels: int = CHANNELS) -> None:
        super().__init__()
        self.filters, self.layers = filters, layers
        model: list[nn.Module] = [
            nn.Conv2d(channels, filters, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
        width = filters
        for k in range(1, layers + 1):
            before, width = width, filters * 2 ** min(k, 3)
            stride = 2 if k < layers else 1
            # Identity: the place of pix2pix's activation, so that names stay its own.
            model += [
                nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=False),
                LeakyBatchNorm(width),
                nn.Identity(),
            ]
        self.model = nn.Sequential(*model, nn.Conv2d(width, 1, 4, padding=1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return in_fp32(self.model(x_NCHW))

    def compile_blocks(self) -> None:
        """Compiles normalisation and activation in place; convolutions stay eager, as in `Discriminator`."""
        for module in self.model:
            if isinstance(module, LeakyBatchNorm):
                module.compile(fullgraph=True, dynamic=False)
