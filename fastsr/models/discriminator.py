"""The discriminator of SRGAN."""

import torch
from torch import Tensor, nn

from fastsr.models.architecture import CHANNELS
from fastsr.models.norm import BatchNorm, norm_activation


class NormActivation(nn.Module):
    """BN - LeakyReLU(0.2), apart from its convolution so that it can be compiled alone (see `compile_blocks`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return norm_activation(self.norm, x, self.activation)


class Discriminator(nn.Module):
    """Eight 3x3 convolutions of which every second halves the image, two dense layers, one logit per image.

    Takes `[N, C, patch, patch]` in [0, 1] and returns fp32 logits `[N]`; positive means "real".

    Args:
        patch: side of the images in pixels; it sizes the first dense layer. filters: channels of the first convolution.
        channels: C, of the images.
    Source: Ledig et al., CVPR 2017.
    """

    def __init__(self, patch: int, filters: int = 64, channels: int = CHANNELS) -> None:
        super().__init__()
        widths = [filters * 2 ** (layer // 2) for layer in range(8)]
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 3, stride=1 + layer % 2, padding=1, bias=layer == 0)
            for layer, (c_in, c_out) in enumerate(
                zip([channels, *widths[:-1]], widths, strict=True)
            )
        )
        self.input_activation = nn.LeakyReLU(0.2, inplace=True)
        self.norms = nn.ModuleList(NormActivation(width) for width in widths[1:])
        side = patch
        for _ in range(4):
            side = (side + 1) // 2
        self.dense = nn.Linear(widths[-1] * side**2, 1024)
        self.dense_activation = nn.LeakyReLU(0.2, inplace=True)
        self.logit = nn.Linear(1024, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.input_activation(self.convs[0](x_NCHW))
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = norm(conv(x))
        z = self.logit(self.dense_activation(self.dense(x.flatten(1)))).squeeze(1)
        return z.to(torch.promote_types(z.dtype, torch.float32))

    def compile_blocks(self) -> None:
        """Compiles normalisation and activation in place, without the convolutions.

        The generator's loss goes backward through D to the image alone. Autograd then skips the weight gradients of
        eager convolutions; a compiled block would compute them all.
        """
        for norm in self.norms:
            norm.compile(fullgraph=True, dynamic=False)
