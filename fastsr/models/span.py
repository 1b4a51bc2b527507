"""SPAN, a small and quick generator whose attention has no parameters."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, silu

from fastsr.models.architecture import CHANNELS, SPANArchitecture
from fastsr.models.base import Generator, in_fp32

GAIN = 2
"""Factor by which the middle of a training-time convolution is wider."""
BLOCKS = 6
MEAN, RANGE = (0.4488, 0.4371, 0.4040), 255.0
"""Of DIV2K's channels, and the range in which the network sees pixels. Other than three channels have the mean of the
three."""


class Fused(nn.Module):
    """One 3x3 convolution, whose weights follow from others: buffers, which nobody trains."""

    weight: Tensor
    bias: Tensor

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(c_out, c_in, 3, 3))
        self.register_buffer("bias", torch.zeros(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, padding=1)


class Conv3XC(nn.Module):
    """A 3x3 convolution: trained as 1x1 - 3x3 - 1x1 beside a 1x1 skip, and used as the one that equals them.

    `[N, c_in, h, w]` to `[N, c_out, h, w]`. Out of training mode it computes with `eval_conv`, which `fuse` fills.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(c_in, c_out, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(c_in, c_in * GAIN, 1),
            nn.Conv2d(c_in * GAIN, c_out * GAIN, 3),
            nn.Conv2d(c_out * GAIN, c_out, 1),
        )
        self.eval_conv = Fused(c_in, c_out)
        self.fuse()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.eval_conv(x)
        # Zeros come before the first 1x1, so that its bias is there, too, as in the fused convolution.
        return self.conv(pad(x, (1, 1, 1, 1))) + self.sk(x)

    @torch.no_grad()
    def fuse(self) -> None:
        """Multiplies the three convolutions, as matrices over channels, and adds the skip to the middle tap."""
        (w1, b1), (w2, b2), (w3, b3), (w_skip, b_skip) = map(in_fp64, (*self.conv, self.sk))
        w1, w3 = w1[..., 0, 0], w3[..., 0, 0]
        weight = torch.einsum("om,mkyx,ki->oiyx", w3, w2, w1)
        weight[..., 1, 1] += w_skip[..., 0, 0]
        bias = w3 @ (torch.einsum("mkyx,k->m", w2, b1) + b2) + b3 + b_skip
        self.eval_conv.weight.copy_(weight)
        self.eval_conv.bias.copy_(bias)


def in_fp64(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    """Weights and biases of a convolution."""
    return convolution.get_parameter("weight").double(), convolution.get_parameter("bias").double()


class SPAB(nn.Module):
    """Three convolutions; the last says both what to add and, by its symmetric sigmoid, how much of all to pass on.

    Returns the result and the first convolution's, activated, both `[N, filters, h, w]`.
    """

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.c1_r = Conv3XC(filters, filters)
        self.c2_r = Conv3XC(filters, filters)
        self.c3_r = Conv3XC(filters, filters)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = silu(self.c1_r(x))
        last = self.c3_r(silu(self.c2_r(first)))
        return (last + x) * (last.sigmoid() - 0.5), first


class SPAN(Generator):
    """Six attention blocks at low resolution, the outputs of four places joined, one pixel shuffle.

    Names of weights are those of the published code (`conv_1.conv.0`, `block_1.c1_r.sk`, `eval_conv`, `upsampler.0`).

    Args:
        scale: any from 1. filters: channels (48). normalise: take the channels' means off, and see 0 to 255.
        channels: of the images.
    Source: Wan et al., "Swift parameter-free attention network for efficient super-resolution", CVPR workshops 2024.
    """

    mean: Tensor

    def __init__(
        self, scale: int, filters: int = 48, normalise: bool = True, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        self.scale, self.normalise, self.channels = scale, normalise, channels
        self.conv_1 = Conv3XC(channels, filters)
        for k in range(BLOCKS):
            self.add_module(f"block_{k + 1}", SPAB(filters))
        self.conv_cat = nn.Conv2d(4 * filters, filters, 1)
        self.conv_2 = Conv3XC(filters, filters)
        self.upsampler = nn.Sequential(nn.Conv2d(filters, channels * scale**2, 3, padding=1))
        mean = MEAN if channels == len(MEAN) else (sum(MEAN) / len(MEAN),) * channels
        self.register_buffer("mean", torch.tensor(mean).view(1, channels, 1, 1), persistent=False)
        if not normalise:  # by this entry of a file the others know
            self.register_buffer("no_norm", torch.zeros(1))

    @property
    def architecture(self) -> SPANArchitecture:
        return SPANArchitecture(
            scale=self.scale,
            filters=self.conv_cat.out_channels,
            normalise=self.normalise,
            channels=self.channels,
        )

    @property
    def receptive_radius(self) -> int:
        return 1 + 3 * BLOCKS + 1 + 1

    def blocks_to_compile(self) -> Iterable[nn.Module]:
        return [self.get_submodule(f"block_{k + 1}") for k in range(BLOCKS)]

    def settle(self) -> None:
        for module in self.modules():
            if isinstance(module, Conv3XC):
                module.fuse()

    def train(self, mode: bool = True) -> "SPAN":
        super().train(mode)
        if not mode:
            self.settle()
        return self

    def forward(self, lr_NChw: Tensor) -> Tensor:
        x = (lr_NChw - self.mean) * RANGE if self.normalise else lr_NChw
        shallow = self.conv_1(x)
        x, outputs, first = shallow, list[Tensor](), shallow
        for block in self.blocks_to_compile():
            x, first = self.run(block, x)
            outputs.append(x)
        joined = torch.cat((shallow, self.conv_2(x), outputs[0], first), 1)
        return in_fp32(pixel_shuffle(self.upsampler(self.conv_cat(joined)), self.scale))
