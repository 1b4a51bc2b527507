"""The interface of all generators, and their blocks in training.

Axes: N images, C channels, h w low and H W high resolution.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator as Iteration
from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from fastsr.models.architecture import CHANNELS, GeneratorArchitecture
from fastsr.models.norm import BatchNorm


class Generator(nn.Module, ABC):
    """Takes `[N, C, h, w]` in [0, 1] and returns fp32 `[N, C, scale*h, scale*w]`, not clamped, for any h and w."""

    scale: int
    channels: int = CHANNELS
    """Of the images."""
    recompute = False
    """Keep only the inputs of blocks during training, and compute the rest again in the backward pass."""

    @property
    @abstractmethod
    def architecture(self) -> GeneratorArchitecture:
        """Description from which `fastsr.models.networks.build_generator` makes the same network."""

    @property
    @abstractmethod
    def receptive_radius(self) -> int:
        """Low-resolution pixels on each side of one that the pixels which it becomes can depend on.

        A tile with that many beside it, or the image's end, is enlarged as within the whole image.
        """

    tile_multiple: int = 1
    """Low-resolution pixels of which tiles begin at a multiple: networks that work on a coarser grid need it."""

    @abstractmethod
    def blocks_to_compile(self) -> Iterable[nn.Module]:
        """Parts that repeat: compiled one by one, and computed again where `recompute` asks for it."""

    def settle(self) -> None:
        """Computes what follows from the weights: before they are saved, or used without gradients."""

    def run(self, block: nn.Module, x: Any) -> Any:
        """Calls one block; keeps only its input where `recompute` says so and gradients are wanted."""
        if not (self.recompute and torch.is_grad_enabled()):
            return block(x)
        # Those of this call, for which they may have been cast.
        weights: dict[str, Tensor] = dict(block.named_parameters())
        return checkpoint(
            partial(functional_call, block, weights, tie_weights=False), x,
            use_reentrant=False, preserve_rng_state=False, context_fn=partial(first_and_second_run, block),
        )  # fmt: skip

    def compile_blocks(self, templates: bool = False) -> None:
        """Compiles in place, block by block: equal blocks cost one compilation, and state-dict keys stay clean."""
        for block in self.blocks_to_compile():
            compile_in_place(block, templates)


def compile_in_place(block: nn.Module, templates: bool = False) -> None:
    """Compiles a block for the shapes that it is called with.

    Args:
        templates: inductor times each of its templates for every convolution, beside the library's, and keeps the
            fastest; compiling takes longer.
    """
    options = {"max_autotune": True} if templates else None
    block.compile(fullgraph=True, dynamic=False, options=options)


def in_fp32(x: Tensor) -> Tensor:
    """At least fp32: 8 bits of bf16 are fewer than those of an image."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def radius_through(factors: Iterable[int], radius: int, convolution: int = 1) -> int:
    """The radius at low resolution of what reaches `radius` pixels far at high resolution.

    Args:
        factors: of the stages between, in the order of the network; each has a convolution before it enlarges.
        convolution: radius of each of those.
    """
    for factor in reversed(list(factors)):
        radius = -(-radius // factor) + convolution
    return radius


def start_small(convolutions: Iterable[nn.Module], factor: float) -> None:
    """He weights (for ReLU) times a factor, and zero biases.

    Source: BasicSR's default_init_weights; ESRGAN, section 3.1, "smaller initialization".
    """
    for module in convolutions:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            with torch.no_grad():
                module.weight.mul_(factor)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def first_and_second_run(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of a checkpointed block: computing it again must not move its statistics again."""
    return nullcontext(), kept_statistics(block)


@contextmanager
def kept_statistics(block: nn.Module) -> Iteration[None, None, None]:
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
