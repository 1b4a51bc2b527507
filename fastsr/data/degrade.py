"""Patches with blind degradations: HR patches of a sampler, LR patches of the operator.

Axes: N patches of a batch, C channels, H W high and h w low resolution.
"""

from collections.abc import Callable

import torch
from fastsr_kernels.degrade import Degradation, Frame, Round, degrade, pack, reference
from torch import Tensor

from fastsr.config.degrade import DegradeConfig
from fastsr.data.sampler import PatchSource

Operator = Callable[[Tensor, Frame, Tensor, int, Tensor], tuple[Tensor, Tensor]]
"""As `fastsr_kernels.degrade.degrade`."""


def degradation(config: DegradeConfig, scale: int) -> Degradation:
    """The settings as the operator takes them."""
    first, second = (
        Round(**{name: getattr(config, name + suffix) for name in Round._fields})
        for suffix in ("", "2")
    )
    return Degradation(
        scale=scale,
        context=config.context_at(scale),
        usm=config.usm,
        shuffle=config.shuffle,
        blur_taps=config.blur_taps,
        first=first,
        second=second,
        final_sinc_prob=config.final_sinc_prob,
    )


class DegradedPatches:
    """Patches of another source, whose LR is made of their HR by degradations drawn from (seed, step, patch).

    Args:
        source: gives HR patches that are larger by the context; its LR patches are not used.
        device: where patches are drawn. fused: by the operator, else by its reference.
        counter: of the sampler, which draws slices of batches as the batches of other steps.
        operator: what degrades, in place of these two.
    """

    def __init__(
        self,
        source: PatchSource,
        config: DegradeConfig,
        *,
        scale: int,
        seed: int,
        device: torch.device,
        fused: bool = True,
        counter: Callable[[Tensor], Tensor] = lambda step: step,
        operator: Operator | None = None,
    ) -> None:
        settings = degradation(config, scale)
        self.source, self.frame, self.seed = source, settings.frame, seed
        self.numbers_F = pack(settings, device)
        self.counter = counter
        self.operator = operator or (degrade if fused else reference.degrade)

    def load(self) -> None:
        """Does the host's share, before each step."""
        self.source.load()

    def seek(self, step: int) -> None:
        """The step whose patches are drawn next, for sources that the host draws."""
        self.source.seek(step)

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The patches `lr_NChw, hr_NCHW`; part of the step."""
        _, hr_NCHW = self.source.draw(step)
        return self.operator(hr_NCHW, self.frame, self.numbers_F, self.seed, self.counter(step))

    def draw_aside(self, step: int) -> tuple[Tensor, Tensor]:
        """The patches of any step, by its number on the host."""
        _, hr_NCHW = self.source.draw_aside(step)
        number = torch.tensor(step, device=self.numbers_F.device)
        return self.operator(hr_NCHW, self.frame, self.numbers_F, self.seed, number)
