"""SRResNet without batch normalisation, as BasicSR trains it."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, relu

from fastsr.errors import UserError
from fastsr.models.architecture import CHANNELS, MSRResNetArchitecture
from fastsr.models.base import Generator, in_fp32, radius_through, start_small
from fastsr.models.shuffle import pixel_shuffle

FACTORS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}
SLOPE = 0.1


class PlainResidualBlock(nn.Module):
    """conv - ReLU - conv, added to the input. `[N, filters, h, w]` to the same shape."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(filters, filters, 3, padding=1)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(relu(self.conv1(x)))


class MSRResNet(Generator):
    """3x3 head, residual blocks without BN, pixel-shuffle upsampling, two convolutions, added to bilinear enlargement.

    Names of weights are BasicSR's (`conv_first`, `body.N.conv1`, `upconv1`, `conv_hr`, `conv_last`).

    Args:
        scale: 1, 2, 3 or 4. blocks: residual blocks (16). filters: channels (64). channels: of the images.
    Raises:
        UserError: for another scale.
    Source: Wang et al., ESRGAN, 2018, whose baseline it is.
    """

    def __init__(
        self, scale: int, blocks: int = 16, filters: int = 64, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        if scale not in FACTORS:
            raise UserError(
                f"--scale {scale} is not one of --generator msrresnet; use 1, 2, 3 or 4, or another generator"
            )
        self.scale, self.channels = scale, channels
        self.conv_first = nn.Conv2d(channels, filters, 3, padding=1)
        self.body = nn.Sequential(*(PlainResidualBlock(filters) for _ in range(blocks)))
        for k, factor in enumerate(FACTORS[scale]):
            self.add_module(f"upconv{k + 1}", nn.Conv2d(filters, filters * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(filters, filters, 3, padding=1)
        self.conv_last = nn.Conv2d(filters, channels, 3, padding=1)
        start_small(self.modules(), 0.1)

    @property
    def architecture(self) -> MSRResNetArchitecture:
        return MSRResNetArchitecture(
            scale=self.scale,
            blocks=len(self.body),
            filters=self.conv_first.out_channels,
            channels=self.channels,
        )

    @property
    def receptive_radius(self) -> int:
        return 1 + 2 * len(self.body) + radius_through(FACTORS[self.scale], radius=2)

    def blocks_to_compile(self) -> Iterable[nn.Module]:
        return self.body

    def forward(self, lr_NChw: Tensor) -> Tensor:
        x = leaky_relu(self.conv_first(lr_NChw), SLOPE)
        for block in self.body:
            x = self.run(block, x)
        for k, factor in enumerate(FACTORS[self.scale]):
            x = leaky_relu(pixel_shuffle(self.get_submodule(f"upconv{k + 1}")(x), factor), SLOPE)
        x = in_fp32(self.conv_last(leaky_relu(self.conv_hr(x), SLOPE)))
        return x + interpolate(
            in_fp32(lr_NChw), scale_factor=self.scale, mode="bilinear", align_corners=False
        )
