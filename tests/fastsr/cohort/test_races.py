"""Peers may run beside each other: no race, and no memory freed too early, in either step. Watched on a CPU."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import FeatureContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.models.vgg import VGG19Features
from fastsr.system.precision import Precision
from tests.fastsr.cohort import race_detector
from tests.fastsr.cohort.race_detector import (
    ASIDE,
    MAIN,
    LabelledBranches,
    RaceDetector,
    by_storage,
    names,
    written_arguments,
)

CPU = torch.device("cpu")
Fault = Callable[[Cohort], None]


def make_step(
    config: TrainConfig,
    store: PixelStore,
    stage: type[Step],
    precision: Precision,
    branches: LabelledBranches,
    fused_norms: bool = False,
) -> Step:
    """A step that has run once, and so made what stays; BN by the operator, as on a GPU, or torch's."""
    cohort = Cohort(
        config, FeatureContent(VGG19Features("conv2_2").randomise(), 1.0), CPU, precision, branches
    )
    for peer in cohort.peers:
        peer.fuse_norms(fused_norms)
    sampler = PatchSampler.from_config(store, config)
    step = stage(cohort, sampler, MetricsRing(2, len(cohort.peers), CPU))
    step()
    return step


def watched(step: Step, branches: LabelledBranches) -> RaceDetector:
    with RaceDetector(branches, names(step.cohort)) as detector:
        step()
        step()
    return detector


@pytest.fixture
def three_peers(tiny_config: TrainConfig) -> TrainConfig:
    return replace(tiny_config, cohort=replace(tiny_config.cohort, peers=3))


PRECISIONS = [Precision(), Precision(dtype=torch.bfloat16), Precision(scaled=True)]


@pytest.mark.parametrize("streams", [3, 2])
@pytest.mark.parametrize("checkpointed", [False, True], ids=["stored", "checkpointed"])
@pytest.mark.parametrize("precision", PRECISIONS, ids=["fp32", "bf16", "scaled"])
@pytest.mark.parametrize("stage", [PretrainStep, Step])
def test_the_step_has_no_race(
    three_peers: TrainConfig, store: PixelStore, stage: type[Step], precision: Precision, checkpointed: bool,
    streams: int,
) -> None:  # fmt: skip
    config = replace(
        three_peers, machine=replace(three_peers.machine, checkpoint_activations=checkpointed)
    )
    branches = LabelledBranches(streams)
    detector = watched(make_step(config, store, stage, precision, branches), branches)
    assert detector.faults == []
    queued = detector.clocks.known[MAIN]
    aside = queued.pop(ASIDE, 0)
    assert len(queued) == 1 + streams and min(queued.values()) > 20
    assert bool(aside) == (stage is Step), "VGG's features of hr"


class WithoutFork(LabelledBranches):
    def fork(self) -> None:
        """Branches begin whenever they like."""


class WithoutJoin(LabelledBranches):
    def join(self) -> None:
        """The main stream goes on at once."""


def nothing(cohort: Cohort) -> None:
    """The fault is in the branches."""


def shared_buffer(cohort: Cohort) -> None:
    """Two peers write the running mean of one BN."""
    first, second = (peer.generator.trunk_norm for peer in cohort.peers[:2])
    second.running_mean = first.running_mean


def shared_weight(cohort: Cohort) -> None:
    """Two peers train one convolution's bias, each with its own optimiser."""
    first, second = (peer.generator.output_conv for peer in cohort.peers[:2])
    assert first.bias is not None and second.bias is not None
    second.bias.data = first.bias.data


@pytest.mark.parametrize(
    ("kind", "plant", "told"),
    [
        (WithoutFork, nothing, "race: aten.convolution.default on branch 0 does not wait for"),
        (WithoutJoin, nothing, "race: aten.stack.default on main does not wait for"),
        (LabelledBranches, shared_buffer, "both use generator.trunk_norm.running_mean of peer 0"),
        (LabelledBranches, shared_weight, "both use generator.output_conv.bias of peer 0"),
    ],
    ids=["no fork", "no join", "shared buffer", "shared weight"],
)
def test_faults_planted_in_the_step_are_caught(
    three_peers: TrainConfig,
    store: PixelStore,
    kind: type[LabelledBranches],
    plant: Fault,
    told: str,
) -> None:
    branches = kind(3)
    step = make_step(three_peers, store, Step, Precision(), branches)
    plant(step.cohort)
    detector = watched(step, branches)
    assert any(told in fault for fault in detector.faults), detector.faults[:5]


class UndeclaredWrites(TorchDispatchMode):
    """Collects operators that change an argument which `written_arguments` does not give."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        written = by_storage(list(written_arguments(func, args, kwargs)))
        before = [
            (x, x.clone()) for key, x in by_storage((args, kwargs)).items() if key not in written
        ]
        result = func(*args, **kwargs)
        if not all(torch.equal(x, value) for x, value in before):
            self.operators.add(func._schema.name)
        return result


@pytest.mark.parametrize("precision", PRECISIONS, ids=["fp32", "bf16", "scaled"])
def test_no_operator_of_the_step_writes_what_it_does_not_declare(
    tiny_config: TrainConfig, store: PixelStore, precision: Precision
) -> None:
    step = make_step(tiny_config, store, Step, precision, LabelledBranches(1))
    with UndeclaredWrites() as writes:
        step()
    assert writes.operators == set()


def test_an_undeclared_write_is_caught() -> None:
    """Batch normalisation's schema hides that it writes running statistics, which this detector knows."""
    x, statistics = torch.randn(4, 2, 3, 3), (torch.zeros(2), torch.ones(2))
    with UndeclaredWrites() as writes, pytest.MonkeyPatch.context() as patch:
        patch.setattr(race_detector, "UNDECLARED", {})
        torch.native_batch_norm(x, None, None, *statistics, True, 0.1, 1e-5)
    assert writes.operators == {"aten::native_batch_norm"}


def faults(body: Callable[[LabelledBranches], None]) -> list[str]:
    branches = LabelledBranches(2)
    with RaceDetector(branches) as detector:
        body(branches)
    return detector.faults


def crossing(branches: LabelledBranches, *, keep: bool, late: bool) -> None:
    """Memory of branch 0 is used on branch 1; is it freed before branch 0 works on?"""
    with branches.branch(0):
        x = torch.ones(3)
    branches.join()
    branches.fork()
    with branches.branch(1):
        y = x * 2
    kept = x if keep else None
    del x
    if late:
        branches.join()
        branches.fork()
    with branches.branch(0):
        z = torch.zeros(3)
    branches.join()
    del kept, y, z


def main_memory(branches: LabelledBranches) -> None:
    """The same with memory of the main stream, which works on between fork and join."""
    x = torch.ones(3)
    branches.fork()
    with branches.branch(0):
        y = x * 2
    del x
    z = torch.zeros(3)
    branches.join()
    del y, z


def test_memory_freed_early_is_caught() -> None:
    (fault,) = faults(lambda branches: crossing(branches, keep=False, late=False))
    assert fault == (
        "freed early: aten.zeros.default on branch 0 may be given the memory of the result [3] of aten.ones.default "
        "on branch 0, and does not wait for aten.mul.Tensor on branch 1"
    )
    (fault,) = faults(main_memory)
    assert "aten.zeros.default on main" in fault and "aten.mul.Tensor on branch 0" in fault


@pytest.mark.parametrize(("keep", "late"), [(True, False), (False, True), (True, True)])
def test_memory_that_is_kept_or_waited_for_is_sound(keep: bool, late: bool) -> None:
    assert faults(lambda branches: crossing(branches, keep=keep, late=late)) == []


def write_then(use: Callable[[Tensor], object]) -> Callable[[LabelledBranches], None]:
    def body(branches: LabelledBranches) -> None:
        x = torch.ones(3)
        branches.fork()
        with branches.branch(0):
            x.add_(1)
        with branches.branch(1):
            use(x)
        branches.join()

    return body


@pytest.mark.parametrize(
    "use",
    [lambda x: x + 1, lambda x: x[:1].mul_(2), lambda x: x.view(1, 3).copy_(torch.zeros(3)),
     lambda x: torch._foreach_add_([x], 1), lambda x: torch.add(torch.zeros(3), 1, out=x)],
    ids=["read", "write of a slice", "copy into a view", "foreach", "out"],
)  # fmt: skip
def test_every_way_to_use_a_tensor_counts(use: Callable[[Tensor], object]) -> None:
    assert len(faults(write_then(use))) == 1


@pytest.mark.parametrize(
    "use",
    [lambda x: x.view(1, 3)[0], lambda x: torch.empty_like(x), lambda x: x.detach()],
    ids=["view", "like", "detach"],
)
def test_what_touches_no_memory_does_not(use: Callable[[Tensor], object]) -> None:
    assert faults(write_then(use)) == []


def test_reading_together_is_sound_and_a_write_beside_it_is_not() -> None:
    def body(branches: LabelledBranches) -> None:
        x = torch.ones(3)
        branches.fork()
        for index in range(2):
            with branches.branch(index):
                x + 1
        assert detector_faults() == []
        with branches.branch(0):
            x.add_(1)
        branches.join()

    branches = LabelledBranches(2)
    with RaceDetector(branches) as detector:
        detector_faults = lambda: detector.faults  # noqa: E731
        body(branches)
    (fault,) = detector.faults
    assert "aten.add_.Tensor on branch 0 does not wait for aten.add.Tensor on branch 1" in fault


def test_backward_on_another_branch_is_caught() -> None:
    def body(branches: LabelledBranches) -> None:
        weight = torch.ones(3, requires_grad=True)
        branches.fork()
        with branches.branch(0):
            y = (weight * 2).exp()
        branches.join()
        y.backward(torch.ones(3))

    found = faults(body)
    assert found and all(
        "strayed backward" in fault and "forward was on branch 0" in fault for fault in found
    ), found
