"""Content losses: how far a generated image is from the real one.

The losses on logits are `fastsr_kernels.cohort_loss`.

Axes: N images, C channels, H W high resolution.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from fastsr.config.settings import ContentName, LossConfig
from fastsr.models.base import compile_in_place
from fastsr.models.vgg import VGG19Features, VGG19Layers

RANDOM: tuple[ContentName, ...] = ("random-vgg", "random-vgg22", "random-layers")
IMAGENET_SCALE, RANDOM_SCALE = 1 / 12.75, 1.0
"""Factors by which features are multiplied: SRGAN's for ImageNet weights; none for He weights, made to keep activations
at order one. With SRGAN's factor on those the loss was about 1e-4, and Set5 fell from 29.9 to 22.3 dB in 465 steps."""


class PixelContent(nn.Module):
    """Mean squared or absolute difference of pixels in [0, 1]. `forward(sr, target(hr))` is a scalar; hr serves all
    peers."""

    def __init__(self, distance: Literal["mse", "l1"] = "mse") -> None:
        super().__init__()
        self.distance = mse_loss if distance == "mse" else l1_loss

    def target(self, hr_NCHW: Tensor) -> Tensor:
        return hr_NCHW

    def forward(self, sr_NCHW: Tensor, target: Tensor) -> Tensor:
        return self.distance(sr_NCHW, target)

    def cast(self, dtype: torch.dtype | None) -> None:
        """Nothing here has weights."""

    def compile_blocks(self, templates: bool = False) -> None:
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

    def compile_blocks(self, templates: bool = False) -> None:
        compile_in_place(self.vgg.features, templates)


class LayeredContent(nn.Module):
    """Weighted mean absolute differences of several VGG19 layers before activation, in fp32.

    Source: ESRGAN, section 3.3; layers and weights of Real-ESRGAN by default.
    """

    def __init__(self, vgg: VGG19Layers, weights: Sequence[float]) -> None:
        super().__init__()
        self.vgg, self.weights = vgg.eval(), tuple(weights)

    @torch.no_grad()
    def target(self, hr_NCHW: Tensor) -> tuple[Tensor, ...]:
        return self.vgg(hr_NCHW)

    def forward(self, sr_NCHW: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        distances = [
            weight * l1_loss(ours.float(), theirs.float())
            for weight, ours, theirs in zip(self.weights, self.vgg(sr_NCHW), target, strict=True)
        ]
        return torch.stack(distances).sum()

    def cast(self, dtype: torch.dtype | None) -> None:
        """Keeps the weights in the dtype of autocast, as `FeatureContent`."""
        for parameter in self.vgg.parameters():
            parameter.data = parameter.data.to(dtype or torch.float32)

    def compile_blocks(self, templates: bool = False) -> None:
        for part in self.vgg.parts:
            compile_in_place(part, templates)


class SumContent(nn.Module):
    """A content loss of features, plus a weighted one of pixels."""

    def __init__(
        self, features: "FeatureContent | LayeredContent", pixel: PixelContent, weight: float
    ) -> None:
        super().__init__()
        self.features, self.pixel, self.weight = features, pixel, weight

    @property
    def vgg(self) -> VGG19Features:
        return self.features.vgg

    def target(self, hr_NCHW: Tensor) -> tuple[Any, Tensor]:
        return self.features.target(hr_NCHW), hr_NCHW

    def forward(self, sr_NCHW: Tensor, target: tuple[Any, Tensor]) -> Tensor:
        features, hr_NCHW = target
        return self.features(sr_NCHW, features) + self.weight * self.pixel(sr_NCHW, hr_NCHW)

    def cast(self, dtype: torch.dtype | None) -> None:
        self.features.cast(dtype)

    def compile_blocks(self, templates: bool = False) -> None:
        self.features.compile_blocks(templates)


Content = PixelContent | FeatureContent | LayeredContent | SumContent


def unloaded_content(loss: LossConfig) -> Content:
    """The content loss of the settings, with all weights zero. Raises UserError for layers that do not fit."""
    name, pixel = loss.content, PixelContent(loss.pixel_loss)
    if name == "pixel":
        return pixel
    if name in ("layers", "random-layers"):
        features = LayeredContent(VGG19Layers(loss.vgg_layers), loss.vgg_layer_weights)
    else:
        vgg = VGG19Features("conv2_2" if name in ("vgg22", "random-vgg22") else "conv5_4")
        features = FeatureContent(vgg, RANDOM_SCALE if name in RANDOM else IMAGENET_SCALE)
    return SumContent(features, pixel, loss.pixel_weight) if loss.pixel_weight else features


def content_loss(loss: LossConfig) -> Content:
    """The content loss of the settings: `vgg...` need ImageNet weights (from `loss.vgg`, or the network).

    Raises UserError where those cannot be had.
    """
    content = unloaded_content(loss)
    if not isinstance(content, PixelContent):
        _ = content.vgg.randomise() if loss.content in RANDOM else content.vgg.load(loss.vgg)
    return content
