"""SRResNet, the generator of SRGAN."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fastsr.errors import UserError
from fastsr.models.architecture import CHANNELS, Output, Skip, SRResNetArchitecture
from fastsr.models.base import Generator, in_fp32, radius_through
from fastsr.models.enlarge import Enlarge
from fastsr.models.norm import BatchNorm, norm_activation
from fastsr.models.shuffle import PixelShuffle
from fastsr.models.tail import Tail

UPSAMPLING_STAGES: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
DETAIL_START = 0.1
"""Factor of the tail's initial weights where it only adds to an enlarged image. Not 0: no gradient would
pass."""


class ResidualBlock(nn.Module):
    """conv - BN - PReLU - conv - BN, added to the input. `[N, filters, h, w]` to the same shape."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm1 = BatchNorm(filters)
        self.activation = nn.PReLU(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_activation(self.norm1, self.conv1(x), self.activation)
        return norm_activation(self.norm2, self.conv2(y), shortcut_NCHW=x)


class Upsampler(nn.Module):
    """conv - pixel shuffle - PReLU: `[N, filters, h, w]` to `[N, filters, factor*h, factor*w]`."""

    def __init__(self, filters: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, filters * factor**2, 3, padding=1)
        self.shuffle = PixelShuffle(factor)
        self.activation = nn.PReLU(filters)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.shuffle(self.conv(x)))


class SRResNet(Generator):
    """SRGAN's generator: 9x9 head, residual blocks, a long skip, pixel-shuffle upsampling, 9x9 tail.

    Takes `[N, C, h, w]` in [0, 1] and returns `[N, C, scale*h, scale*w]` in (0, 1): the tail's tanh is mapped there.
    With a global skip it returns the enlarged image plus what the tail adds, neither squashed nor clamped.

    Args:
        scale: 1 (nothing is upsampled), 2, 3, 4 or 8. blocks: residual blocks (32 in the paper).
        filters: channels (64).
        skip: how the image is enlarged that the tail adds to; none in the paper.
        output: tanh as above, or linear: what the tail makes, as it is, which some trainers' weights need.
        channels: C, of the images.
    Raises:
        UserError: for another scale.
    Source: Ledig et al., "Photo-realistic single image super-resolution using a GAN", CVPR 2017.
    """

    def __init__(
        self,
        scale: int,
        blocks: int = 32,
        filters: int = 64,
        skip: Skip = "none",
        output: Output = "tanh",
        channels: int = CHANNELS,
    ) -> None:
        super().__init__()
        if scale not in UPSAMPLING_STAGES:
            raise UserError(
                f"--scale {scale} is not supported; use one of {', '.join(map(str, UPSAMPLING_STAGES))}"
            )
        self.scale, self.block_count, self.filters = scale, blocks, filters
        self.channels = channels
        self.skip: Skip = skip
        self.output: Output = output
        self.input_conv = nn.Conv2d(channels, filters, 9, padding=4)
        self.input_activation = nn.PReLU(filters)
        self.blocks = nn.ModuleList(ResidualBlock(filters) for _ in range(blocks))
        self.trunk_conv = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.trunk_norm = BatchNorm(filters)
        self.upsamplers = nn.ModuleList(
            Upsampler(filters, factor) for factor in UPSAMPLING_STAGES[scale]
        )
        self.output_conv = Tail(filters, channels, 9, padding=4)
        self.enlarge = None if skip == "none" else Enlarge(scale, skip, channels)
        if self.enlarge:
            with torch.no_grad():
                self.output_conv.weight.mul_(DETAIL_START)

    def forward(self, lr_NChw: Tensor) -> Tensor:
        x = self.trunk(lr_NChw)
        for upsampler in self.upsamplers:
            x = self.run(upsampler, x)
        x = in_fp32(self.output_conv(x))
        if self.enlarge:
            return self.enlarge(lr_NChw) + x
        return (x.tanh() + 1) / 2 if self.output == "tanh" else x

    @property
    def architecture(self) -> SRResNetArchitecture:
        return SRResNetArchitecture(
            scale=self.scale, blocks=self.block_count, filters=self.filters, skip=self.skip, output=self.output,
            channels=self.channels,
        )  # fmt: skip

    @property
    def receptive_radius(self) -> int:
        return (
            4 + 2 * self.block_count + 1 + radius_through(UPSAMPLING_STAGES[self.scale], radius=4)
        )

    def blocks_to_compile(self) -> Iterable[nn.Module]:
        return (*self.blocks, *self.upsamplers)

    def trunk(self, lr_NChw: Tensor) -> Tensor:
        """`[N, filters, h, w]`: everything in low resolution, and with it every BN."""
        shallow = self.input_activation(self.input_conv(lr_NChw))
        x = shallow
        for block in self.blocks:
            x = self.run(block, x)
        return norm_activation(self.trunk_norm, self.trunk_conv(x), shortcut_NCHW=shallow)
