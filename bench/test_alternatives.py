"""Two ways to save launches that the step does not use. Ratios above 1: they would be faster.

VGG features of HR and SR images in one batch need the gradient of HR too, which nothing uses; one optimiser for all
peers updates as many tensors as one for each, in about as many launches, but waits for the last peer's gradients, and
would couple the peers' fp16 scalers.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn.functional import mse_loss

from bench.machine import kernels_of
from bench.setups import make_step
from bench.timing import alternate, median_wall, summary
from fastsr.cohort.content import FeatureContent, content_loss
from fastsr.cohort.peer import BETA1
from fastsr.config.settings import TrainConfig
from fastsr.data.sampler import PatchSampler


class Features:
    """The content loss of two peers, and its gradients, in two arrangements."""

    def __init__(self, recipe: TrainConfig, device: torch.device) -> None:
        content = content_loss(recipe.loss)
        assert isinstance(content, FeatureContent)
        self.content = content.to(device=device, memory_format=torch.channels_last)  # pyright: ignore
        shape = (recipe.images.batch, 3, recipe.images.patch, recipe.images.patch)
        images = [
            torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
            for _ in range(3)
        ]
        self.hr, self.sr = images[0], [image.requires_grad_() for image in images[1:]]

    def apart(self) -> list[Tensor]:
        """As in the step: HR once, without gradients; SR of each peer by itself."""
        target = self.content.target(self.hr)
        return [torch.autograd.grad(self.content(sr, target), sr)[0] for sr in self.sr]

    def together(self) -> list[Tensor]:
        """HR and SR of all peers in one batch."""
        target, *features = self.content.vgg(torch.cat([self.hr, *self.sr])).chunk(3)
        losses = [
            mse_loss(f * self.content.scale, target.detach() * self.content.scale) for f in features
        ]
        return list(torch.autograd.grad(torch.stack(losses).sum(), self.sr))


def compared(
    benchmark: BenchmarkFixture,
    ours: Callable[[], Any],
    other: Callable[[], Any],
    names: tuple[str, str],
) -> dict[str, Any]:
    ours_s, other_s = alternate(benchmark, ours, other)
    return {
        "ratio": round(median_wall(ours_s) / median_wall(other_s), 3),
        names[0]: {**summary(ours_s), "kernels": kernels_of(ours)},
        names[1]: {**summary(other_s), "kernels": kernels_of(other)},
    }


@pytest.mark.timeout(900)
def test_features_in_one_batch(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    recipe: TrainConfig,
    device: torch.device,
) -> None:
    features = Features(recipe, device)
    for ours, other in zip(features.apart(), features.together(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-2, atol=1e-2 * float(ours.abs().max()))
    report(compared(benchmark, features.apart, features.together, ("apart", "together")))


@pytest.mark.timeout(900)
def test_one_optimiser_for_all_peers(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    recipe: TrainConfig,
    sampler: PatchSampler,
) -> None:
    cohort = make_step(recipe, sampler).cohort
    optimizers = [optimizer for peer in cohort.peers for optimizer in peer.optimizers.values()]
    parameters = [p for optimizer in optimizers for p in optimizer.param_groups[0]["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    shared = torch.optim.Adam(
        parameters,
        lr=cohort.schedule.lr,
        betas=(BETA1, cohort.config.optim.beta2),
        fused=True,
        capturable=True,
    )

    def each() -> None:
        for optimizer in optimizers:
            optimizer.step()

    report(compared(benchmark, each, shared.step, ("one each", "one for all")))
