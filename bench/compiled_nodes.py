"""Counts the nodes that a compiled block has on a GPU, without one: inductor's code is generated and not run.

A block is traced on the CPU under bf16 autocast, its graphs are moved to a GPU of made properties, and inductor
lowers and fuses them as it would there. That uses private parts of torch (written with 2.14) and may break with others.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch._inductor.compile_fx import partition_fn
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.post_grad import post_grad_passes, view_to_reshape
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

GPU = torch.device("cuda", 0)
HOPPER = DeviceProperties(
    type="cuda", index=0, multi_processor_count=132, cc=90, major=9, regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048, max_threads_per_block=1024, warp_size=32,
)  # fmt: skip
KERNEL = re.compile(
    r"^\s+(?:buf\d+ = )?(?:triton_\w+\.run|extern_kernels\.\w+|torch\.ops\.[\w.]+)\(.*$",
    re.MULTILINE,
)
GRADIENTS = re.compile(r"convolution_backward.*\[(\w+), (\w+), (\w+)\]\)")


class CompiledNodes(NamedTuple):
    """Nodes of one call, and of one pass backward; 0 where nothing asks for a gradient."""

    forward: int
    backward: int


def compiled_nodes(block: nn.Module, x: Tensor) -> CompiledNodes:
    """The nodes of a block compiled as `compile_blocks` does, for an input like `x`. Its running statistics change."""
    graphs: dict[str, list[tuple[GraphModule, Sequence[Any]]]] = {
        "forward": [],
        "backward": [],
        "inference": [],
    }

    def keep(kind: str, graph: GraphModule, inputs: Sequence[Any]) -> Any:
        graphs[kind].append((graph, inputs))
        return make_boxed_func(graph.forward)

    backend = aot_autograd(
        fw_compiler=partial(keep, "forward"),
        bw_compiler=partial(keep, "backward"),
        inference_compiler=partial(keep, "inference"),
        partition_fn=partition_fn,
        decompositions=select_decomp_table(),
    )
    compiled = torch.compile(block, backend=backend, fullgraph=True, dynamic=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = compiled(x)
    if y.requires_grad:
        y.backward(torch.zeros_like(y))
        block.zero_grad()
    counts = {
        kind: sum(count_launches(generated_code(*graph, kind)) for graph in kept)
        for kind, kept in graphs.items()
    }
    return CompiledNodes(counts["forward"] + counts["inference"], counts["backward"])


def count_launches(code: str) -> int:
    """Launches in the source that inductor generates. A convolution's backward is one for each of its gradients."""
    body = code[code.index("def call(") :]
    lines = KERNEL.findall(body)
    return sum(line_count(line) for line in lines)


def line_count(line: str) -> int:
    gradients = GRADIENTS.search(line)
    return gradients.groups().count("True") if gradients else 1


def generated_code(graph: GraphModule, inputs: Sequence[Any], kind: str) -> str:
    """Inductor's source for a GPU that is not there."""
    for node in graph.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": GPU}
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    with mode:
        moved = [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=GPU)
            if isinstance(x, Tensor)
            else x
            for x in inputs
        ]
    with made_gpu(), V.set_fake_mode(mode), V.set_debug_handler(DebugContext()):
        view_to_reshape(graph)
        FakeTensorProp(graph, mode).propagate(*moved)
        post_grad_passes(graph, is_inference=kind == "inference")
        lowering = GraphLowering(
            graph, example_inputs=moved, shape_env=mode.shape_env, is_backward=kind == "backward",
            is_inference=kind == "inference",
        )  # fmt: skip
        with V.set_graph_handler(lowering), V.set_extern_kernel_nodes([]):
            lowering.run(*moved)
            wrapper, _ = lowering.codegen()
    return wrapper.value


@contextmanager
def made_gpu() -> Generator[None, None, None]:
    """Within, torch and inductor believe in a GPU, and in cuDNN's choice of memory formats, enough to generate code."""
    answers: dict[str, Any] = {
        "torch.cuda.is_available": True,
        "torch.cuda.device_count": 1,
        "torch.cuda.current_device": 0,
        "torch.cuda.get_device_capability": (9, 0),
        "torch._inductor.runtime.hints.DeviceProperties.create": HOPPER,
        "torch._inductor.scheduler.has_triton": True,
        "torch.utils._triton.triton_hash_with_backend": "",
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch(name, return_value=answer))
        stack.enter_context(patch("torch._C._conv_determine_backend_memory_format", cudnn_format))
        yield


def cudnn_format(x: Tensor, weight: Tensor, _: Any) -> torch.memory_format:
    """cuDNN works channels-last where one of the two is."""
    either = any(each.is_contiguous(memory_format=torch.channels_last) for each in (x, weight))
    return torch.channels_last if either else torch.contiguous_format
