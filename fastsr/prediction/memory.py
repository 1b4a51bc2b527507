"""Predicts the memory of a run, without running it: the whole step on tensors that have shapes and no contents."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import torch
from fastsr_kernels.degrade import reference
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import unloaded_content
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.cohort.streams import Branches
from fastsr.config.settings import ImagesConfig, TrainConfig
from fastsr.data.degrade import DegradedPatches, Operator
from fastsr.data.sampler import PatchSource
from fastsr.prediction.flops import FlopCount
from fastsr.system.backend import kernels
from fastsr.system.live_bytes import LiveBytes
from fastsr.system.memory import gigabytes, memory_of
from fastsr.system.precision import Precision, choose_precision

BESIDE_TENSORS = 10**9
"""CUDA's context and the scratch space of its libraries, roughly."""


@dataclass(frozen=True)
class Prediction:
    """Bytes that tensors of a run occupy at once. CUDA's own context, about 0.5 GB, and its libraries come on top."""

    resident: int
    """Weights, averages, optimiser states: always there."""
    peak: int
    """The most during one step, `resident` included."""
    flop: int
    """Floating-point operations of one step, those of matrix products and convolutions; a multiply-add is two."""


class CountedBranches(Branches):
    """Tells which of the streams that a GPU would have is being filled; the work itself follows in order."""

    def __init__(self, count: int) -> None:
        super().__init__(torch.device("cpu"), 1)
        self.count, self.current = count, 0

    @contextmanager
    def branch(self, index: int) -> Generator[None, None, None]:
        self.current = 1 + index % self.count if self.count > 1 else 0
        try:
            yield
        finally:
            self.current = 0

    @contextmanager
    def aside(self) -> Generator[None, None, None]:
        self.current = 1 + self.count if self.count > 1 else 0
        try:
            yield
        finally:
            self.current = 0


class FakePatches:
    """Patches of the right shape and layout, with no contents."""

    def __init__(self, config: TrainConfig) -> None:
        batch, channels, side = config.images.batch, config.model.channels, config.drawn_side
        low = side // config.model.scale
        self.shapes = (batch, channels, low, low), (batch, channels, side, side)

    def load(self) -> None:
        """Nothing."""

    def seek(self, step: int) -> None:
        """Nothing."""

    def draw_aside(self, step: int) -> tuple[Tensor, Tensor]:
        return self.draw(torch.tensor(step))

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        lr, hr = (
            torch.empty(shape).contiguous(memory_format=torch.channels_last)
            for shape in self.shapes
        )
        return lr, hr


def fake_patches(config: TrainConfig, on_gpu: bool) -> PatchSource:
    """Patches without contents; where they are degraded, with the memory of the kernels, or else of the reference."""
    if config.degrade.is_bicubic:
        return FakePatches(config)
    return DegradedPatches(
        FakePatches(config),
        config.degrade,
        scale=config.model.scale,
        seed=0,
        device=torch.device("cpu"),
        operator=allocating(on_gpu and runs_kernels(config)),
    )


def runs_kernels(config: TrainConfig) -> bool:
    """True where Triton's kernels would compute this on a GPU."""
    return config.machine.fused and kernels(torch.device("cuda")) == "triton"


def allocating(fused: bool) -> Operator:
    """The degradation operator to count: allocations of the kernels, where a GPU would run them, else the reference."""
    if fused:
        # Imports triton, which not every system has.
        from fastsr_kernels.degrade.kernel import allocate

        return allocate
    return reference.degrade


def fuse_as_on_gpus(cohort: Cohort) -> None:
    """Has the norms of a cohort on a CPU counted as a GPU computes them."""
    for peer in cohort.peers:
        peer.fuse_norms(runs_kernels(cohort.config))


def predict_memory(config: TrainConfig, precision: Precision, on_gpu: bool = False) -> Prediction:
    """Runs a step on fake CPU tensors and counts bytes. Content weights are not needed; pixels are not counted.

    Args:
        on_gpu: where peers are worked on at the same time, as `config.machine.peer_streams` says.
    """
    device = torch.device("cpu")
    branches = CountedBranches(
        (config.machine.peer_streams or config.cohort.peers) if on_gpu else 1
    )
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes(lambda: branches.current) as live:
        unscaled = replace(precision, scaled=False)
        cohort = Cohort(config, unloaded_content(config.loss), device, unscaled, branches)
        if on_gpu:
            fuse_as_on_gpus(cohort)
        step = Step(cohort, fake_patches(config, on_gpu), MetricsRing(1, len(cohort.peers), device))
        resident = live.now.total()
        live.most = live.now.copy()
        with FlopCount() as count:
            step()
    return Prediction(resident=resident, peak=live.most.total(), flop=count.total)


def out_of_memory_advice(config: TrainConfig, device: torch.device, room: int | None = None) -> str:
    """A sentence: the need of a step, the memory of the device (`room`, bytes), up to three settings that would fit."""
    room = memory_of(device) if room is None else room
    need = predicted_need(config, device)
    text = f"a step needs about {gigabytes(need)}, and {device.type} has {gigabytes(room)}"
    fitting = (
        f"{words} ({gigabytes(smaller)})"
        for words, changed in smaller_settings(config, device)
        if (smaller := predicted_need(changed, device)) < min(room, need)
    )
    found = list(islice(fitting, 3))
    remedy = (
        f"with these it would fit: {', or '.join(found)}"
        if found
        else "use a smaller model, or another device"
    )
    return f"{text}; {remedy}"


def predicted_need(config: TrainConfig, device: torch.device) -> int:
    on_gpu = device.type == "cuda"
    peak = predict_memory(config, choose_precision(config.machine.amp, device), on_gpu).peak
    return peak + BESIDE_TENSORS * on_gpu


def smaller_settings(
    config: TrainConfig, device: torch.device
) -> Iterator[tuple[str, TrainConfig]]:
    """Options that take less memory, those that cost least first, and the configurations that they make.

    The first few keep what is trained: they can be added when a run is continued.
    """
    machine, images, scale = config.machine, config.images, config.model.scale
    if not machine.checkpoint_activations:
        yield (
            "--checkpoint-activations",
            replace(config, machine=replace(machine, checkpoint_activations=True)),
        )
    if device.type == "cuda" and machine.peer_streams != 1 and config.cohort.peers > 1:
        yield "--peer-streams 1", replace(config, machine=replace(machine, peer_streams=1))
    if not machine.amp:
        yield "--amp", replace(config, machine=replace(machine, amp=True))
    spared = replace(
        config, machine=replace(machine, checkpoint_activations=True, peer_streams=1, amp=True)
    )
    yield "--checkpoint-activations --peer-streams 1 --amp", spared
    sizes: dict[str, ImagesConfig] = {}  # small ones are the least that there is more than once
    for part in (2, 4, 8):
        batch = max(2, images.batch // part)
        patch = max(-(-16 // scale) * scale, images.patch // part // scale * scale)
        sizes[f"--batch {batch}"] = replace(images, batch=batch)
        sizes[f"--patch {patch}"] = replace(images, patch=patch)
    for words, changed in sizes.items():
        yield words, replace(config, images=changed)
