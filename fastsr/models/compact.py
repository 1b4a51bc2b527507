"""SRVGGNetCompact, the quick generator of Real-ESRGAN."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle

from fastsr.models.architecture import CHANNELS, CompactArchitecture
from fastsr.models.base import Generator, in_fp32


class Compact(Generator):
    """Convolutions with PReLU at low resolution, one pixel shuffle at the end, added to nearest-neighbour enlargement.

    Names of weights are Real-ESRGAN's: `body.N`, even numbers convolutions, odd ones activations.

    Args:
        scale: any from 1. blocks: convolutions between the first and the last (16; 32 in the general models).
        filters: channels (64). channels: of the images.
    Source: Wang et al., "Real-ESRGAN", 2021, and its published code.
    """

    def __init__(
        self, scale: int, blocks: int = 16, filters: int = 64, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        self.scale, self.filters, self.channels = scale, filters, channels
        inputs = [channels, *[filters] * blocks]
        layers = [
            layer
            for width in inputs
            for layer in (nn.Conv2d(width, filters, 3, padding=1), nn.PReLU(filters, init=0.25))
        ]
        self.body = nn.Sequential(*layers, nn.Conv2d(filters, channels * scale**2, 3, padding=1))
        # A tuple is no module: names of weights stay those of `body`.
        self.pairs = tuple(self.body[k : k + 2] for k in range(0, len(layers), 2))
        """Each convolution with its activation."""

    @property
    def architecture(self) -> CompactArchitecture:
        return CompactArchitecture(
            scale=self.scale,
            blocks=len(self.pairs) - 1,
            filters=self.filters,
            channels=self.channels,
        )

    @property
    def receptive_radius(self) -> int:
        return len(self.pairs) + 1

    def blocks_to_compile(self) -> Iterable[nn.Module]:
        return self.pairs

    def forward(self, lr_NChw: Tensor) -> Tensor:
        x = lr_NChw
        for pair in self.pairs:
            x = self.run(pair, x)
        x = in_fp32(pixel_shuffle(self.body[-1](x), self.scale))
        return x + interpolate(in_fp32(lr_NChw), scale_factor=self.scale, mode="nearest")
