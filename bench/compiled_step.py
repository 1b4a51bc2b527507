"""The nodes of one step whose blocks are compiled, as `--compile` does: inductor's instead of the operators' own."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.compiled_nodes import compiled_nodes
from bench.step_nodes import COMPILED, CPU, NodeCount, NodeRecorder, count_nodes
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import prepare_compiler
from fastsr.cohort.content import FeatureContent, unloaded_content
from fastsr.config.settings import TrainConfig
from fastsr.system.precision import CAST, Precision


class Call(NamedTuple):
    """A call of a block: all that its compiled code depends on."""

    block: str
    shape: torch.Size
    dtype: torch.dtype
    with_gradient: bool


def blocks_of(cohort: Cohort) -> list[tuple[str, nn.Module]]:
    """The blocks that `Cohort.compile` compiles, each with the part that it belongs to."""
    found: list[tuple[str, nn.Module]] = []
    for peer in cohort.peers:
        found += [("G", block) for block in (*peer.generator.blocks, *peer.generator.upsamplers)]
        found += [("D", norm) for norm in peer.discriminator.norms]
    if isinstance(cohort.content, FeatureContent):
        found.append(("VGG", cohort.content.vgg.features))
    return found


class CompiledBlocks:
    """Puts inductor's nodes in the place of what blocks queue when they are not compiled."""

    def __init__(self) -> None:
        self.counts: dict[Call, tuple[int, int]] = {}
        """Nodes forward and backward."""
        self.places: dict[Call, int] = {}
        """A block that is called so, by its place among all."""

    def replace(self, cohort: Cohort, recorder: NodeRecorder) -> None:
        for place, (part, block) in enumerate(blocks_of(cohort)):
            block.forward = self.replaced(place, f"{part} {COMPILED}", block, recorder)

    def replaced(
        self, place: int, part: str, block: nn.Module, recorder: NodeRecorder
    ) -> Callable[[Tensor], Tensor]:
        forward, parts = block.forward, recorder.parts

        def call(x: Tensor) -> Tensor:
            how = Call(repr(block), x.shape, x.dtype, torch.is_grad_enabled() and x.requires_grad)
            self.places.setdefault(how, place)
            queued, queued_backward = self.counts.get(how, (0, 0))
            before = parts.current
            parts.enter(part)
            y = forward(x)
            parts.enter(before)
            recorder.queue(part, "inductor", queued, 0)
            if y.requires_grad:
                y.register_hook(
                    lambda _: recorder.queue(f"{part} backward", "inductor", queued_backward, 0)
                )
            return y

        return call

    def count(self, config: TrainConfig) -> None:
        """Compiles one block for each way of calling. Of VGG one image will do: nothing sums over the batch."""
        prepare_compiler(combine_kernels=config.machine.combine_kernels)
        cohort = Cohort(config, unloaded_content(config.loss), CPU, Precision())
        blocks = blocks_of(cohort)
        for how, place in self.places.items():
            part, block = blocks[place]
            for module in block.modules():
                if isinstance(module, CAST):
                    module.to(torch.bfloat16)  # as the step casts them, once for the whole network
            shape = (1, *how.shape[1:]) if part == "VGG" else how.shape
            x = torch.zeros(shape, dtype=how.dtype).to(memory_format=torch.channels_last)
            with torch.set_grad_enabled(how.with_gradient):
                self.counts[how] = compiled_nodes(block, x.requires_grad_(how.with_gradient))


def count_compiled(config: TrainConfig) -> NodeCount:
    """The same with every block compiled that `--compile` compiles: their nodes are those of inductor's code."""
    blocks = CompiledBlocks()
    count_nodes(config, prepare=blocks.replace)  # finds on what the blocks run
    blocks.count(config)
    return count_nodes(config, prepare=blocks.replace)
