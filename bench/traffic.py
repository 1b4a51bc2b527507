"""Counts FLOPs and bytes of each operation of a training step without running it."""

from collections.abc import Callable, Iterator
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import unloaded_content
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.prediction.memory import FakePatches, fuse_as_on_gpus
from fastsr.system.precision import Precision

ALLOCATIONS = {
    torch.ops.aten.empty,
    torch.ops.aten.empty_like,
    torch.ops.aten.empty_strided,
    torch.ops.aten.new_empty,
}


class Operation(NamedTuple):
    """One operation, or several fused to one."""

    name: str
    flop: int
    """By torch's formulas, a multiply-add being two; 0 for all but convolutions and matrix products."""
    reads: dict[int, int]
    """Bytes read, by storage."""
    writes: dict[int, int]
    """Bytes written, by storage."""

    @property
    def is_matrix(self) -> bool:
        return self.flop > 0

    @property
    def bytes(self) -> int:
        return sum(self.reads.values()) + sum(self.writes.values())


class Recorder(TorchDispatchMode):
    """Lists the operations that move bytes. Views and allocations move none."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.storages: dict[
            int, UntypedStorage
        ] = {}  # kept, so that no address comes twice; fake ones hold no memory

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        reads = self.regions((args, kwargs))
        writes = self.regions((result, list(mutated(func, args, kwargs))))
        is_view = not func._schema.is_mutable and writes.keys() <= reads.keys()
        if not is_view and func.overloadpacket not in ALLOCATIONS:
            formula = flop_registry.get(func.overloadpacket)
            flop = formula(*args, **kwargs, out_val=result) if formula else 0
            self.operations.append(Operation(str(func), flop, reads, writes))
        return result

    def regions(self, tree: Any) -> dict[int, int]:
        """Bytes of the distinct tensors in a tree, by storage."""
        tensors = {
            (self.key(x), x.storage_offset(), x.shape, x.stride()): x
            for x in tree_iter(tree)
            if isinstance(x, Tensor)
        }
        regions: dict[int, int] = {}
        for (key, *_), tensor in tensors.items():
            regions[key] = regions.get(key, 0) + footprint(tensor)
        return regions

    def key(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage
        return storage._cdata


def mutated(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Arguments that an operation writes to."""
    for index, argument in enumerate(func._schema.arguments):
        # Fused Adam writes gradients, as its schema has it, only where it unscales them.
        is_gradient = argument.name == "grads" and kwargs.get("grad_scale") is None
        if argument.alias_info and argument.alias_info.is_write and not is_gradient:
            yield args[index] if index < len(args) else kwargs.get(argument.name)


def footprint(tensor: Tensor) -> int:
    """Bytes of its elements; those that `expand` repeats count once."""
    sizes = (
        size
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
        if stride or not size
    )
    return tensor.element_size() * prod(sizes)


def record(function: Callable[[], Any]) -> list[Operation]:
    """The operations of one call."""
    with Recorder() as recorder:
        function()
    return recorder.operations


def step_operations(config: TrainConfig) -> list[Operation]:
    """The operations of one step of a cohort, eager, under bf16 autocast, on fake CPU tensors.

    Patches come from nowhere; optimiser states exist from the start.
    """
    device = torch.device("cpu")
    with FakeTensorMode(allow_non_fake_inputs=True):
        cohort = Cohort(
            config, unloaded_content(config.loss), device, Precision(dtype=torch.bfloat16)
        )
        fuse_as_on_gpus(cohort)
        return record(Step(cohort, FakePatches(config), MetricsRing(1, len(cohort.peers), device)))


def fuse(operations: list[Operation]) -> list[Operation]:
    """The same with every run of element-wise operations, between one matrix operation and the next, made one.

    It reads each tensor from before it once, and writes what somebody reads after it, or what outlives the step. The
    rest stays in registers, even where a sum over the batch would forbid that: a bound.
    """
    last_read = {
        key: index for index, operation in enumerate(operations) for key in operation.reads
    }
    states = find_states(operations)
    fused: list[Operation] = []
    for is_matrix, group in groupby(enumerate(operations), key=lambda pair: pair[1].is_matrix):
        indices, run = zip(*group, strict=True)
        alive = states | {key for key, index in last_read.items() if index > indices[-1]}
        fused += run if is_matrix else [merge(run, alive)]
    return fused


def find_states(operations: list[Operation]) -> set[int]:
    """Storages that were there before: weights, averages, optimiser states, inputs."""
    made: set[int] = set()
    states: set[int] = set()
    for operation in operations:
        states |= operation.reads.keys() - made
        made |= operation.writes.keys()
    return states


def merge(run: tuple[Operation, ...], alive: set[int]) -> Operation:
    """One operation for several without FLOPs. `alive` are the storages whose contents matter afterwards."""
    reads: dict[int, int] = {}
    writes: dict[int, int] = {}
    for operation in run:
        for key, size in operation.reads.items():
            if key not in writes:
                reads[key] = max(size, reads.get(key, 0))
        for key, size in operation.writes.items():
            writes[key] = max(size, writes.get(key, 0))
    return Operation("fused", 0, reads, {key: size for key, size in writes.items() if key in alive})
