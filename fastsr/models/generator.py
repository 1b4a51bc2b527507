"""SRResNet, the generator of SRGAN."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from fastsr.errors import UserError
from fastsr.models.enlarge import Enlarge, Skip
from fastsr.models.norm import BatchNorm

UPSAMPLING_STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
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
        return x + self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))


class Upsampler(nn.Module):
    """conv - pixel shuffle - PReLU: `[N, filters, h, w]` to `[N, filters, factor*h, factor*w]`."""

    def __init__(self, filters: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, filters * factor**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(factor)
        self.activation = nn.PReLU(filters)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.shuffle(self.conv(x)))


class SRResNet(nn.Module):
    """SRGAN's generator: 9x9 head, residual blocks, a long skip, pixel-shuffle upsampling, 9x9 tail.

    Takes `[N, 3, h, w]` in [0, 1] and returns `[N, 3, scale*h, scale*w]` in (0, 1): the tail's tanh is mapped there.
    With a global skip it returns the enlarged image plus what the tail adds, neither squashed nor clamped.

    Args:
        scale: 2, 3, 4 or 8. blocks: residual blocks (32 in the paper). filters: channels (64).
        skip: how the image is enlarged that the tail adds to; none in the paper.
    Raises:
        UserError: for another scale.
    Source: Ledig et al., "Photo-realistic single image super-resolution using a GAN", CVPR 2017.
    """

    def __init__(
        self, scale: int, blocks: int = 32, filters: int = 64, skip: Skip = "none"
    ) -> None:
        super().__init__()
        if scale not in UPSAMPLING_STAGES:
            raise UserError(
                f"--scale {scale} is not supported; use one of {', '.join(map(str, UPSAMPLING_STAGES))}"
            )
        self.scale, self.block_count, self.filters, self.skip = scale, blocks, filters, skip
        self.recompute = False
        """Keep only the inputs of blocks during training, and compute the rest again in the backward pass."""
        self.input_conv = nn.Conv2d(3, filters, 9, padding=4)
        self.input_activation = nn.PReLU(filters)
        self.blocks = nn.ModuleList(ResidualBlock(filters) for _ in range(blocks))
        self.trunk_conv = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.trunk_norm = BatchNorm(filters)
        self.upsamplers = nn.ModuleList(
            Upsampler(filters, factor) for factor in UPSAMPLING_STAGES[scale]
        )
        self.output_conv = nn.Conv2d(filters, 3, 9, padding=4)
        self.enlarge = None if skip == "none" else Enlarge(scale, skip)
        if self.enlarge:
            with torch.no_grad():
                self.output_conv.weight.mul_(DETAIL_START)

    def forward(self, lr_NChw: Tensor) -> Tensor:
        x = self.trunk(lr_NChw)
        for upsampler in self.upsamplers:
            x = self.run(upsampler, x)
        x = self.output_conv(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return self.enlarge(lr_NChw) + x if self.enlarge else (x.tanh() + 1) / 2

    def trunk(self, lr_NChw: Tensor) -> Tensor:
        """`[N, filters, h, w]`: everything in low resolution, and with it every BN."""
        shallow = self.input_activation(self.input_conv(lr_NChw))
        x = shallow
        for block in self.blocks:
            x = self.run(block, x)
        return shallow + self.trunk_norm(self.trunk_conv(x))

    def run(self, block: nn.Module, x: Tensor) -> Tensor:
        if not (self.recompute and torch.is_grad_enabled()):
            return block(x)
        # Those of this call, for which they may have been cast.
        weights: dict[str, Tensor] = dict(block.named_parameters())
        return checkpoint(
            partial(functional_call, block, weights, tie_weights=False), x,
            use_reentrant=False, preserve_rng_state=False, context_fn=partial(first_and_second_run, block),
        )  # fmt: skip

    def compile_blocks(self) -> None:
        """Compiles in place, block by block: 32 equal blocks cost one compilation, and state-dict keys stay clean."""
        for block in (*self.blocks, *self.upsamplers):
            block.compile(fullgraph=True, dynamic=False)


def first_and_second_run(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of a checkpointed block: computing it again must not move its statistics again."""
    return nullcontext(), kept_statistics(block)


@contextmanager
def kept_statistics(block: nn.Module) -> Generator[None, None, None]:
    """Within, BN normalises by the batch as in training and leaves its running statistics as they are."""
    norms = [module for module in block.modules() if isinstance(module, BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
