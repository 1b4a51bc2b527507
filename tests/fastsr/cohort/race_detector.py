"""Watches a step on a CPU for what would go wrong on the parallel streams of a GPU, sometimes.

Branches are labels here: every operator is noted with the label that it is queued on, the storages that it reads and
writes, and what comes before it by fork and join (vector clocks, as in `torch.cuda._sanitizer`). Faults are
    race: two operators, one of which writes, use a storage, and neither waits for the other;
    freed early: a storage is freed, and the label that it was allocated on works on without waiting for a use on
        another. torch's allocator gives freed memory to whatever comes next on the stream of its allocation;
    strayed backward: autograd works backward from another label than forward. A GPU runs each backward operator on the
        stream of its forward, whatever stream is current; a CPU runs it where backward is called. Without this
        fault the two are the same, and so labels are what a GPU's streams would be. AccumulateGrad, which has no
        forward, counts as where backward is called; it only keeps what it is given.
Not seen: memory that kernels use and free within themselves, which is the label's own, and what compiled code does.
"""

import weakref
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.streams import Branches

MAIN, ASIDE = "main", "aside"
NO_FORWARD = 2**63
"""Sequence numbers from here on belong to nodes that no operator made."""
ALLOCATE_ONLY = (
    "aten::empty",
    "aten::new_empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty_strided",
)
UNDECLARED = {"aten::native_batch_norm": ("running_mean", "running_var")}
"""Arguments that are written although the schema does not say so; `torch.cuda._sanitizer` misses them."""


class Use(NamedTuple):
    """One operator, queued on a label as the `time`-th there."""

    label: str
    time: int
    operator: str

    def __str__(self) -> str:
        return f"{self.operator} on {self.label}"


class Clocks:
    """The uses that a label has waited for: of every other label, all up to a time."""

    def __init__(self, labels: Iterable[str]) -> None:
        self.known: dict[str, Counter[str]] = {label: Counter() for label in (MAIN, *labels)}

    def tick(self, label: str, operator: str) -> Use:
        self.known[label][label] += 1
        return Use(label, self.known[label][label], operator)

    def wait(self, label: str, other: str) -> None:
        """Work queued on `label` from here on begins after all that was queued on `other`."""
        self.known[label] |= self.known[other]

    def waited(self, label: str, use: Use) -> bool:
        return self.known[label][use.label] >= use.time


class LabelledBranches(Branches):
    """Side streams as labels: the work itself follows in order."""

    def __init__(self, count: int) -> None:
        super().__init__(torch.device("cpu"), 1)
        self.labels = [*(f"branch {index}" for index in range(count)), ASIDE]
        self.clocks = Clocks(self.labels)
        self.current = MAIN
        self.began: list[tuple[int, str]] = [(0, MAIN)]
        """The number of the first autograd node, and the label, of every stretch of work."""

    def fork(self) -> None:
        for label in self.labels:
            self.clocks.wait(label, MAIN)

    def branch(self, index: int) -> AbstractContextManager[None]:
        return self.at(self.labels[index % (len(self.labels) - 1)])

    def aside(self) -> AbstractContextManager[None]:
        return self.at(ASIDE)

    @contextmanager
    def at(self, label: str) -> Generator[None, None, None]:
        before = self.current
        self.enter(label)
        try:
            yield
        finally:
            self.enter(before)

    def join(self) -> None:
        for label in self.labels:
            self.clocks.wait(MAIN, label)

    def enter(self, label: str) -> None:
        self.current = label
        self.began.append((torch.autograd._get_sequence_nr(), label))

    def label_of_forward(self, sequence_number: int) -> str:
        """The label on which the operator was queued whose backward has this number."""
        return next(label for first, label in reversed(self.began) if first <= sequence_number)


@dataclass
class Memory:
    """The known uses of one storage."""

    name: str
    allocated_on: str
    written: Use | None = None
    read: list[Use] = field(default_factory=list)
    """Since it was last written."""
    last_use: dict[str, Use] = field(default_factory=dict)
    """By label."""


class RaceDetector(TorchDispatchMode):
    """Collects faults of the operators within.

    Args:
        names: tensors that were there before, allocated on the main stream, by what messages call them.
    """

    def __init__(
        self, branches: LabelledBranches, names: Iterable[tuple[str, Tensor]] = ()
    ) -> None:
        super().__init__()
        self.branches, self.clocks = branches, branches.clocks
        self.faults: list[str] = []
        self.memories: dict[int, Memory] = {}
        self.references: dict[int, weakref.ref[UntypedStorage]] = {}
        self.freed: dict[str, list[Memory]] = {label: [] for label in self.clocks.known}
        """Freed storages by the label of their allocation, as long as others may still use them."""
        for name, tensor in names:
            self.notice(tensor, name, MAIN)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = by_storage((args, kwargs))
        for x in inputs.values():
            self.notice(x, f"a tensor {list(x.shape)} from before", MAIN)
        written = by_storage(list(written_arguments(func, args, kwargs)))
        result = func(*args, **kwargs)
        made = {key: x for key, x in by_storage(result).items() if key not in inputs}
        if not written and not made and is_view(func):
            return result
        use = self.clocks.tick(self.branches.current, str(func))
        self.check_backward(use)
        self.check_freed(use)
        for x in made.values():
            self.notice(x, f"the result {list(x.shape)} of {use}", use.label)
        if func._schema.name in ALLOCATE_ONLY:
            return result
        for key in inputs.keys() - written.keys():
            self.read(self.memories[key], use)
        for key in (*written, *made):
            self.write(self.memories[key], use)
        return result

    def notice(self, tensor: Tensor, name: str, label: str) -> None:
        """Notes the tensor's storage, by this name and label, if it was never seen."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.memories:
            self.memories[key] = Memory(name, label)
            self.references[key] = weakref.ref(storage, partial(self.free, key))

    def free(self, key: int, _: object) -> None:
        memory = self.memories.pop(key)
        del self.references[key]
        self.freed[memory.allocated_on].append(memory)

    def read(self, memory: Memory, use: Use) -> None:
        self.check_order(memory, use, [memory.written] if memory.written else [])
        memory.read.append(use)
        memory.last_use[use.label] = use

    def write(self, memory: Memory, use: Use) -> None:
        self.check_order(memory, use, [*memory.read, *([memory.written] if memory.written else [])])
        memory.written, memory.read = use, []
        memory.last_use[use.label] = use

    def check_order(self, memory: Memory, use: Use, earlier: list[Use]) -> None:
        for other in earlier:
            if not self.clocks.waited(use.label, other):
                self.faults.append(f"race: {use} does not wait for {other}; both use {memory.name}")

    def check_freed(self, use: Use) -> None:
        """The operator may be given any memory that was allocated on its label and freed."""
        pending, self.freed[use.label] = self.freed[use.label], []
        for memory in pending:
            late = [
                other
                for other in memory.last_use.values()
                if not self.clocks.waited(use.label, other)
            ]
            self.faults += [
                f"freed early: {use} may be given the memory of {memory.name}, and does not wait for {other}"
                for other in late
            ]

    def check_backward(self, use: Use) -> None:
        node = torch._C._current_autograd_node()
        if node is None or node._sequence_nr() >= NO_FORWARD:
            return
        forward = self.branches.label_of_forward(node._sequence_nr())
        if forward != use.label:
            self.faults.append(
                f"strayed backward: {use}, of {node.name()}, whose forward was on {forward}"
            )


def by_storage(tree: Any) -> dict[int, Tensor]:
    """The tensors of a tree, one for each storage."""
    return {x.untyped_storage()._cdata: x for x in tree_iter(tree) if isinstance(x, Tensor)}


def written_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Arguments that are written."""
    for index, argument in enumerate(func._schema.arguments):
        declared = argument.alias_info and argument.alias_info.is_write
        if declared or argument.name in UNDECLARED.get(func._schema.name, ()):
            yield args[index] if index < len(args) else kwargs.get(argument.name)


def is_view(func: Any) -> bool:
    """Every result shares memory with an argument: nothing is queued on a GPU."""
    return all(each.alias_info is not None for each in func._schema.returns)


def names(cohort: Cohort) -> Iterator[tuple[str, Tensor]]:
    """Everything that a cohort keeps, by peer, network and parameter or buffer."""
    for k, peer in enumerate(cohort.peers):
        for kind, network in peer.networks.items():
            for name, tensor in network.state_dict().items():
                yield f"{kind}.{name} of peer {k}", tensor
        for kind, optimizer in peer.optimizers.items():
            for number, moments in enumerate(optimizer.state.values()):
                for name, tensor in moments.items():
                    yield f"{name} of parameter {number} of {kind}'s optimiser of peer {k}", tensor
    for name, tensor in cohort.content.state_dict().items():
        yield f"content.{name}", tensor
    for name, value in vars(cohort).items():
        if isinstance(value, Tensor):
            yield f"cohort.{name}", value
