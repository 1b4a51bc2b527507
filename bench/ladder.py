"""Rungs from the usual training loop to one graph launch a step: each adds one technique to the one before."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.basicsr import BasicSR
from bench.setups import sample_store
from fastsr.cohort.capture import capture
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.cohort.content import FeatureContent, content_loss
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.data.sampler import HostPatches, PatchSampler
from fastsr.proof.usual_loop import Baseline, Manner
from fastsr.system.device import set_up
from fastsr.system.precision import Precision, choose_precision

NETWORKS = ("generator", "discriminator", "vgg")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Settings of one rung. Those from `shared` on need the cohort's step; those before apply to the loop too."""

    name: str
    tf32: bool = False
    """TF32 in matrix products; in convolutions it is torch's default."""
    channels_last: bool = False
    half: bool = False
    """bf16, or fp16 with loss scaling, where the device has it."""
    compiled: tuple[str, ...] = ()
    shared: bool = False
    """The cohort's step: one forward pass of each network for all losses, VGG features of HR computed once."""
    fused_loss: bool = False
    device_sampler: bool = False
    """Patches drawn by the kernel; else by a thread of the host, one step ahead."""
    graph: bool = False
    autotune: bool = False
    """Inductor times its convolution templates against cuDNN and keeps the fastest."""
    streams: int = 1
    """Peers computed concurrently, each on a CUDA stream; 0: all."""
    basicsr: bool = False
    """BasicSR's loop instead of ours."""


def rungs() -> list[Rung]:
    """From the usual loop up. The last but one is what a GPU runs by default without peers in parallel."""
    ladder = [Rung(name="usual loop, fp32")]
    techniques: list[tuple[str, dict[str, Any]]] = [
        ("+ TF32", {"tf32": True}),
        ("+ channels_last", {"channels_last": True}),
        ("+ bf16", {"half": True}),
        ("+ compile", {"compiled": NETWORKS}),
        ("+ shared work", {"shared": True}),
        ("+ fused loss", {"fused_loss": True}),
        ("+ device sampler", {"device_sampler": True}),
        ("+ graph", {"graph": True}),
        ("+ parallel peers", {"streams": 0}),
    ]
    for name, change in techniques:
        ladder.append(replace(ladder[-1], name=name, **change))
    return ladder


def autotuned() -> Rung:
    """The last rung with autotuned convolutions. Not in the ladder, as compiling takes longer."""
    return replace(rungs()[-1], name="+ autotune", autotune=True)


def uncompiled() -> Rung:
    """The last rung with fused norms in place of torch.compile. Not in the ladder, as it takes a technique away."""
    return replace(rungs()[-1], name="not compiled", compiled=())


CURRENT_TRAINER = Rung(
    name="usual trainer: bf16, channels_last, compiled G", tf32=True, channels_last=True, half=True,
    compiled=("generator",),
)  # fmt: skip


BASICSR = Rung(name="BasicSR SRGANModel, fp32", basicsr=True)


class Contestant:
    """A rung with its networks and patches. A call is one training step; leaving the context frees the graph."""

    def __init__(self, rung: Rung, config: TrainConfig, device: torch.device) -> None:
        set_up(device)
        torch.backends.cuda.matmul.allow_tf32 = rung.tf32
        self.rung, self.device, self.config = rung, device, configured(rung, config)
        self.precision = choose_precision(True, device) if rung.half else Precision()
        self.patches = self.patch_source()
        self.seconds_to_prepare = 0.0
        self.body: Callable[[], Any] = self.cohort_body() if rung.shared else self.loop_body()
        self.owned: AbstractContextManager[Any] = nullcontext()
        if rung.graph and device.type == "cuda":
            assert isinstance(self.body, Step)
            replay = capture(self.body, self.body.state())
            self.body, self.owned, self.seconds_to_prepare = replay, closing(replay), replay.seconds

    def patch_source(self) -> PatchSampler | HostPatches:
        """The sample photos, drawn on the device or by the host."""
        on_device = self.rung.device_sampler
        store = sample_store(self.device if on_device else torch.device("cpu"))
        sampler = PatchSampler.from_config(store, self.config)
        return sampler if on_device else HostPatches(sampler, self.device)

    def loop_body(self) -> Callable[[], Any]:
        """One step of the baseline, or of BasicSR."""
        patches, counter = self.patches, torch.zeros((), dtype=torch.int64, device=self.device)
        if self.rung.basicsr:
            theirs = BasicSR(self.config, self.device)
            return lambda: theirs.step(*patches.draw(counter.add_(1)))
        content = content_loss(self.config.loss)
        assert isinstance(content, FeatureContent)
        layout = torch.channels_last if self.rung.channels_last else torch.contiguous_format
        manner = Manner(precision=self.precision, layout=layout, compiled=self.rung.compiled)
        baseline = Baseline(self.config, content.vgg, content.scale, self.device, manner)
        return lambda: baseline.step(*patches.draw(counter.add_(1)))

    def cohort_body(self) -> Step:
        """One step of the cohort."""
        cohort = Cohort(self.config, content_loss(self.config.loss), self.device, self.precision)
        if self.rung.autotune:
            torch.compiler.reset()  # else equal blocks would be taken from the rungs before
        if self.rung.compiled:
            compile_cohort(cohort)
        return Step(cohort, self.patches, MetricsRing(50, len(cohort.peers), self.device))

    def __call__(self) -> None:
        self.patches.load()
        self.body()

    def __enter__(self) -> "Contestant":
        self.owned.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.owned.__exit__(*exception)


def configured(rung: Rung, config: TrainConfig) -> TrainConfig:
    """The configuration with the machine settings of a rung."""
    machine = replace(
        config.machine,
        channels_last=rung.channels_last,
        fused=rung.fused_loss,
        autotune=rung.autotune,
        peer_streams=rung.streams,
    )
    return replace(config, machine=machine)


def with_peers(config: TrainConfig, peers: int) -> TrainConfig:
    """The configuration with this many peers, all of which teach each other."""
    return replace(
        config, cohort=CohortConfig(peers=peers, variant="ml" if peers > 1 else "independent")
    )
