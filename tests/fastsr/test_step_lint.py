"""The step reads device tensors only: checked on CPU by watching every operation, so that it can be captured."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fastsr.cohort import Cohort
from fastsr.config import TrainConfig
from fastsr.losses import PixelContent
from fastsr.metrics import MetricsRing
from fastsr.pixels import PixelStore
from fastsr.precision import Precision
from fastsr.sampler import PatchSampler
from fastsr.step import PretrainStep, Step

HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "is_nonzero", "equal.default", "unique")


class Watch(TorchDispatchMode):
    """Records operations with the shapes that they give, and collects those that make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence: list[tuple[str, tuple[torch.Size, ...]]] = []
        self.host_reads: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func)
        self.sequence.append((name, tuple(x.shape for x in tree_iter(result) if isinstance(x, Tensor))))
        if any(read in name for read in HOST_READS):
            self.host_reads.append(name)
        return result


def watched(body: Callable[[], None]) -> tuple[Watch, Watch]:
    """Two steps, after one that creates the optimisers' states."""
    body()
    watches = Watch(), Watch()
    for watch in watches:
        with watch:
            body()
    return watches


def lint(body: Callable[[], None]) -> list[str]:
    first, second = watched(body)
    faults = [f"waits for the host: {name}" for name in first.host_reads]
    return faults + (["operations change from step to step"] if first.sequence != second.sequence else [])


@pytest.mark.parametrize(
    "precision", [Precision(), Precision(dtype=torch.bfloat16), Precision(scaled=True)], ids=["fp32", "bf16", "scaled"]
)
@pytest.mark.parametrize("stage", [PretrainStep, Step])
def test_step_never_waits_for_the_host(
    tiny_config: TrainConfig, store: PixelStore, stage: type[Step], precision: Precision
) -> None:
    device = torch.device("cpu")
    cohort = Cohort(tiny_config, PixelContent(), device, precision)
    body = stage(cohort, PatchSampler(store, scale=2, patch=16, batch=2, seed=0), MetricsRing(2, 2, device))
    body()
    before = [t.data_ptr() for peer in cohort.peers for n in peer.networks.values() for t in n.state_dict().values()]
    assert lint(body) == []
    after = [t.data_ptr() for peer in cohort.peers for n in peer.networks.values() for t in n.state_dict().values()]
    assert before == after, "weights stay where they are"


@pytest.mark.parametrize("fault", ["item", "constant", "shape"])
def test_lint_catches_planted_faults(fault: str) -> None:
    x, calls = torch.ones(4), []

    def body() -> None:
        calls.append(1)
        if fault == "item":
            x.add_(x.sum().item())
        elif fault == "constant":
            x.add_(torch.tensor(2.0))
        else:
            x[: len(calls)].mul_(2)

    assert lint(body) != []
