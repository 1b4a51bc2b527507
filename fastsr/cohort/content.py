"""Content losses: how far a generated image is from the real one.

The losses on logits are `fastsr_kernels.cohort_loss`.

Axes: N images, C channels, H W high resolution.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fastsr.models.vgg import VGG19Features

ContentName = Literal["vgg54", "vgg22", "random-vgg", "random-vgg22", "pixel"]
RANDOM: tuple[ContentName, ...] = ("random-vgg", "random-vgg22")
IMAGENET_SCALE, RANDOM_SCALE = 1 / 12.75, 1.0
"""Factors by which features are multiplied: SRGAN's for ImageNet weights; none for He weights, made to keep activations
at order one. With SRGAN's factor on those the loss was about 1e-4, and Set5 fell from 29.9 to 22.3 dB in 465 steps."""


class PixelContent(nn.Module):
    """Mean squared error of pixels in [0, 1]. `forward(sr, target(hr))` is a scalar; hr serves all peers."""

    def target(self, hr_NCHW: Tensor) -> Tensor:
        return hr_NCHW

    def forward(self, sr_NCHW: Tensor, target: Tensor) -> Tensor:
        return mse_loss(sr_NCHW, target)

    def cast(self, dtype: torch.dtype | None) -> None:
        """Nothing here has weights."""

    def compile_blocks(self) -> None:
        """Nothing here gains from compilation."""


class FeatureContent(nn.Module):
    """Mean squared error of scaled VGG19 features, in fp32. The features of hr are computed once.

    Source: SRGAN, section 2.2.1; 1/12.75 is its rescaling of the feature maps.
    """

    def __init__(self, vgg: VGG19Features, scale: float = IMAGENET_SCALE) -> None:
        super().__init__()
        self.vgg, self.scale = vgg.eval(), scale

    @torch.no_grad()
    def target(self, hr_NCHW: Tensor) -> Tensor:
        return self.vgg(hr_NCHW)

    def forward(self, sr_NCHW: Tensor, target: Tensor) -> Tensor:
        return mse_loss(self.vgg(sr_NCHW).float() * self.scale, target.float() * self.scale)

    def cast(self, dtype: torch.dtype | None) -> None:
        """Keeps the weights in the dtype of autocast, which would cast them anew in every call; None is fp32."""
        for parameter in self.vgg.parameters():
            parameter.data = parameter.data.to(dtype or torch.float32)

    def compile_blocks(self) -> None:
        self.vgg.features.compile(fullgraph=True, dynamic=False)


def unloaded_content(name: ContentName) -> PixelContent | FeatureContent:
    """The content loss of that name, with all weights zero."""
    if name == "pixel":
        return PixelContent()
    vgg = VGG19Features("conv2_2" if name in ("vgg22", "random-vgg22") else "conv5_4")
    return FeatureContent(vgg, RANDOM_SCALE if name in RANDOM else IMAGENET_SCALE)


def content_loss(name: ContentName, vgg: Path | None = None) -> PixelContent | FeatureContent:
    """The content loss of that name: `vgg54` and `vgg22` need ImageNet weights (from `vgg`, or the network).

    Raises UserError where those cannot be had.
    """
    content = unloaded_content(name)
    if isinstance(content, FeatureContent):
        _ = content.vgg.randomise() if name in RANDOM else content.vgg.load(vgg)
    return content
