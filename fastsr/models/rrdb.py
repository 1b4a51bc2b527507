"""RRDBNet, the generator of ESRGAN and Real-ESRGAN."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad, pixel_unshuffle

from fastsr.errors import UserError
from fastsr.models.architecture import CHANNELS, RRDBArchitecture
from fastsr.models.base import Generator, in_fp32, start_small

DOUBLINGS = {1: 0, 2: 1, 4: 2, 8: 3}
"""Doublings of the features, by the factor from the network's own grid to the output."""
UNSHUFFLE = {1: 4, 2: 2, 4: 1, 8: 1}
"""Real-ESRGAN's factor by which pixels become channels first, by scale: x2 and x1 do their work on a smaller image."""
SLOPE = 0.2
RESIDUAL = 0.2
"""Factor of what a dense block, and a block of three, add to their input."""


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of all that came before it. `[N, filters, h, w]` to the same shape."""

    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(filters, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(filters + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(filters + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(filters + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(filters + 4 * growth, filters, 3, padding=1)
        start_small(self.modules(), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.cat((features, leaky_relu(convolution(features), SLOPE)), 1)
        return x + RESIDUAL * self.conv5(features)


class RRDB(nn.Module):
    """Three dense blocks, added to the input: a residual in residual dense block."""

    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(filters, growth)
        self.rdb2 = DenseBlock(filters, growth)
        self.rdb3 = DenseBlock(filters, growth)

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(Generator):
    """3x3 head, residual in residual dense blocks, a long skip, nearest-neighbour doubling with convolutions.

    Names of weights are BasicSR's (`conv_first`, `body.N.rdb1.conv1`, `conv_body`, `conv_up1`, `conv_hr`, `conv_last`).

    Args:
        scale: 1, 2, 4 or 8. blocks: 23 in the paper. filters: channels (64). growth: channels that each convolution
            of a dense block adds (32).
        unshuffle: 1, 2 or 4: so many times smaller is the image that the blocks see, with so many squared channels.
            By default Real-ESRGAN's: 2 at x2, 4 at x1, else 1.
        channels: of the images.
    Raises:
        UserError: for another scale, or an unshuffle with which it is no power of two up to 8.
    Source: Wang et al., "ESRGAN: Enhanced super-resolution GANs", 2018; Wang et al., "Real-ESRGAN", 2021, section 3.4.
    """

    def __init__(
        self, scale: int, blocks: int = 23, filters: int = 64, growth: int = 32, unshuffle: int = 0,
        channels: int = CHANNELS,
    ) -> None:  # fmt: skip
        super().__init__()
        if scale not in UNSHUFFLE:
            raise UserError(
                f"--scale {scale} is not one of --generator rrdb; use 1, 2, 4 or 8, or another generator"
            )
        self.scale, self.growth, self.channels = scale, growth, channels
        self.unshuffle = unshuffle or UNSHUFFLE[scale]
        if scale * self.unshuffle not in DOUBLINGS:
            raise UserError(
                f"unshuffle {self.unshuffle} is not one of rrdb at scale {scale}; their product is 1, 2, 4 or 8"
            )
        self.doublings = DOUBLINGS[scale * self.unshuffle]
        self.tile_multiple = self.unshuffle
        self.conv_first = nn.Conv2d(channels * self.unshuffle**2, filters, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(filters, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(filters, filters, 3, padding=1)
        for k in range(self.doublings):
            self.add_module(f"conv_up{k + 1}", nn.Conv2d(filters, filters, 3, padding=1))
        self.conv_hr = nn.Conv2d(filters, filters, 3, padding=1)
        self.conv_last = nn.Conv2d(filters, channels, 3, padding=1)

    @property
    def architecture(self) -> RRDBArchitecture:
        return RRDBArchitecture(
            scale=self.scale, blocks=len(self.body), filters=self.conv_first.out_channels,
            growth=self.growth, unshuffle=self.unshuffle, channels=self.channels,
        )  # fmt: skip

    @property
    def receptive_radius(self) -> int:
        radius = 2  # conv_hr and conv_last
        for _ in range(self.doublings):
            radius = -(-(radius + 1) // 2)  # a convolution after each doubling
        radius += 1 + 15 * len(self.body) + 1
        return (radius + 1) * self.unshuffle - 1 if self.unshuffle > 1 else radius

    def blocks_to_compile(self) -> Iterable[nn.Module]:
        return self.body

    def forward(self, lr_NChw: Tensor) -> Tensor:
        height, width = (self.scale * side for side in lr_NChw.shape[2:])
        shallow = self.conv_first(self.on_own_grid(lr_NChw))
        x = shallow
        for block in self.body:
            x = self.run(block, x)
        x = shallow + self.conv_body(x)
        for k in range(self.doublings):
            x = interpolate(x, scale_factor=2.0, mode="nearest")
            x = leaky_relu(self.get_submodule(f"conv_up{k + 1}")(x), SLOPE)
        x = in_fp32(self.conv_last(leaky_relu(self.conv_hr(x), SLOPE)))
        return x[..., :height, :width]

    def on_own_grid(self, lr_NChw: Tensor) -> Tensor:
        """The image, continued to a multiple of the grid by mirroring, pixels of each cell as channels."""
        if self.unshuffle == 1:
            return lr_NChw
        bottom, right = (-side % self.unshuffle for side in lr_NChw.shape[2:])
        if bottom or right:
            # What is smaller than a cell has too few pixels to mirror.
            mirrored = min(lr_NChw.shape[2:]) >= self.unshuffle
            lr_NChw = pad(lr_NChw, (0, right, 0, bottom), "reflect" if mirrored else "replicate")
        return pixel_unshuffle(lr_NChw, self.unshuffle)
