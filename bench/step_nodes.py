"""The nodes of one step's CUDA graph, counted without a GPU: by part of the step, operator and branch.

The real step runs on tensors without contents; `operator_nodes` says what each operator queues. Autocast is the CPU's,
and a GPU's may cast a little differently.
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.operator_nodes import is_view, nodes_of
from bench.traffic import Recorder, mutated
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import unloaded_content
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.cohort.streams import Branches
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.prediction.memory import fuse_as_on_gpus
from fastsr.system.precision import Precision

CPU = torch.device("cpu")
MAIN, ASIDE = "main", "aside"
COMPILED = "compiled"
"""In the names of parts that are compiled: their own operators do not count."""
COPIES = ("aten::copy_", "aten::_foreach_copy_")
"""They do not read what they overwrite."""


class Node(NamedTuple):
    """The nodes that one operator queues."""

    part: str
    operator: str
    branch: str
    count: int
    bytes: int


class CountedBranches(Branches):
    """Side streams by name, and how many nodes a step's longest chain has that ends on each."""

    def __init__(self, count: int) -> None:
        super().__init__(CPU, 1)
        branches = [f"branch {index}" for index in range(count)]
        self.names = [*branches, ASIDE] if count > 1 else []
        self.current = MAIN
        self.longest: Counter[str] = Counter()

    def fork(self) -> None:
        for name in self.names:
            self.longest[name] = max(self.longest[name], self.longest[MAIN])

    def branch(self, index: int) -> AbstractContextManager[None]:
        return self.at(self.names[index % (len(self.names) - 1)] if self.names else MAIN)

    def aside(self) -> AbstractContextManager[None]:
        return self.at(ASIDE if self.names else MAIN)

    @contextmanager
    def at(self, name: str) -> Generator[None, None, None]:
        before, self.current = self.current, name
        try:
            yield
        finally:
            self.current = before

    def join(self) -> None:
        self.longest[MAIN] = max(self.longest.values())


class Parts:
    """The part of the step at work. Backward belongs to the part that was at work in the same node's forward."""

    def __init__(self) -> None:
        self.current = "rest"
        self.began = [(0, self.current)]

    def enter(self, part: str) -> None:
        self.current = part
        self.began.append((torch.autograd._get_sequence_nr(), part))

    def label(self, owner: Any, method: str, part: str) -> None:
        """Counts the work of `owner.method` to this part from here on."""
        function = getattr(owner, method)

        @wraps(function)
        def labelled(*args: Any, **kwargs: Any) -> Any:
            before = self.current
            self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.enter(before)

        setattr(owner, method, labelled)

    def name(self) -> str:
        node = torch._C._current_autograd_node()
        number = node._sequence_nr() if node else None
        if number is None or number >= 2**63:  # no node, or one that only keeps gradients
            return self.current
        return next(part for first, part in reversed(self.began) if first <= number) + " backward"


class NodeRecorder(Recorder):
    """Lists what operators queue, by part and branch."""

    def __init__(self, parts: Parts, branches: CountedBranches) -> None:
        super().__init__()
        self.parts, self.branches = parts, branches
        self.nodes: list[Node] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        reads = self.regions((args, kwargs))
        if is_view(func, result, set(reads)) or (
            COMPILED in self.parts.name() and not sums_gradients(func, result)
        ):
            return result
        writes = self.regions((result, list(mutated(func, args, kwargs))))
        if func._schema.name in COPIES:
            reads = self.regions(args[1:])
        moved = sum(reads.values()) + sum(writes.values())
        self.queue(
            self.parts.name(), func._schema.name.removeprefix("aten::"), nodes_of(func, args), moved
        )
        return result

    def queue(self, part: str, operator: str, count: int, moved: int) -> None:
        if count:
            self.nodes.append(Node(part, operator, self.branches.current, count, moved))
            self.branches.longest[self.branches.current] += count


def sums_gradients(func: Any, result: Any) -> bool:
    """Autograd itself adds the gradients of a compiled block's weights where the block ran twice: those of BN."""
    return func._schema.name == "aten::add" and result.ndim == 1


class NodeCount(NamedTuple):
    """The nodes of one step."""

    nodes: list[Node]
    longest: int
    """On the longest chain of nodes that wait for each other."""

    @property
    def total(self) -> int:
        return sum(node.count for node in self.nodes)


def label_parts(step: Step, parts: Parts) -> None:
    cohort = step.cohort
    parts.label(step.patches, "draw", "drawing")
    parts.label(cohort, "arrange", "drawing")
    parts.label(cohort, "loss_operator", "losses")
    parts.label(cohort.content, "forward", "VGG of SR")
    parts.label(cohort.content, "target", "VGG of HR")
    parts.label(step.ring, "write", "metrics")
    parts.label(cohort.schedule, "advance", "schedule")
    for peer in cohort.peers:
        parts.label(peer.generator, "forward", "G")
        parts.label(peer.discriminator, "forward", "D")
        parts.label(peer, "update_generator", "optimiser")
        parts.label(peer, "update_discriminator", "optimiser")
        parts.label(peer, "update_ema", "EMA")


def count_nodes(
    config: TrainConfig,
    precision: Precision | None = None,
    prepare: Callable[[Cohort, NodeRecorder], None] | None = None,
) -> NodeCount:
    """The nodes of one adversarial step, eager, under bf16 autocast unless told otherwise.

    Args:
        prepare: what to do with the cohort and the recorder before the step, such as counting blocks as compiled.
    """
    side = config.images.patch
    store = PixelStore.from_images([np.zeros((side, side, 3), np.uint8)])
    sampler = PatchSampler.from_config(store, config)
    branches, parts = CountedBranches(config.machine.peer_streams or config.cohort.peers), Parts()
    with FakeTensorMode(allow_non_fake_inputs=True):
        precision = precision or Precision(dtype=torch.bfloat16)
        cohort = Cohort(config, unloaded_content(config.loss), CPU, precision, branches)
        fuse_as_on_gpus(cohort)
        step = Step(cohort, sampler, MetricsRing(1, len(cohort.peers), CPU))
        label_parts(step, parts)
        recorder = NodeRecorder(parts, branches)
        if prepare:
            prepare(cohort, recorder)
        with recorder:
            step()
    return NodeCount(recorder.nodes, branches.longest[MAIN])
