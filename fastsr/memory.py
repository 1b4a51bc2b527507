"""Predicts the memory of a run, without running it: the whole step on tensors that have shapes and no contents."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fastsr.cohort import Cohort
from fastsr.config import TrainConfig
from fastsr.losses import unloaded_content
from fastsr.metrics import MetricsRing
from fastsr.precision import Precision
from fastsr.step import Step


@dataclass(frozen=True)
class Prediction:
    """Bytes that tensors of a run occupy at once. CUDA's own context, about 0.5 GB, and its libraries come on top."""

    resident: int
    """Weights, averages, optimiser states: always there."""
    peak: int
    """The most during one step, `resident` included."""


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations create and the moment each is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.count(value)
        return result

    def count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # pyright: ignore[reportPrivateUsage]
        if key in self.seen:
            return

        def freed(_: Any) -> None:
            self.seen.pop(key, None)
            self.now -= size

        self.seen[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


class FakePatches:
    """Patches of the right shape and layout, with no contents."""

    def __init__(self, config: TrainConfig) -> None:
        batch, side = config.images.batch, config.images.patch
        self.shapes = ((batch, 3, side // config.model.scale, side // config.model.scale), (batch, 3, side, side))

    def load(self) -> None:
        """Nothing."""

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        lr, hr = (torch.empty(shape).contiguous(memory_format=torch.channels_last) for shape in self.shapes)
        return lr, hr


def predict_memory(config: TrainConfig, precision: Precision) -> Prediction:
    """Runs the second step of a run on fake CPU tensors (the first creates Adam's states) and counts bytes.

    Content weights are not needed. The store of pixels is not counted.
    """
    device = torch.device("cpu")
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        cohort = Cohort(config, unloaded_content(config.loss.content), device, replace(precision, scaled=False))
        step = Step(cohort, FakePatches(config), MetricsRing(1, len(cohort.peers), device))
        step()
        resident = live.now
        live.peak = live.now
        step()
    return Prediction(resident=resident, peak=live.peak)
