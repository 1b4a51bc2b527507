"""Counts kernels, copies and clears that torch queues on an NVIDIA GPU for one operator: nodes of a captured step.

Read from torch's sources, as no GPU is needed to count; `bench.machine.kernels_of` counts on one. Not known, and
so not counted: what libraries add inside one call. cuDNN may convert layouts or pad (tensors of 3 channels: the head,
the tail, D's and VGG's first layer), sum partial products of weight gradients, or clear their sums first.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor

Arguments = tuple[Any, ...]
Rule = Callable[[Arguments], int]

CHUNK, BLOCKS = 65536, 320
"""multi_tensor_apply: elements of one block, and blocks of one launch."""
TENSORS = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""multi_tensor_apply: how many tensors of each list one launch takes, by the number of lists."""


def multi_tensor_launches(sizes: Sequence[int], lists: int) -> int:
    """Launches over lists of tensors with so many elements each. A launch is full of tensors, or of blocks."""
    launches = tensors = blocks = 0
    for size in sizes:
        chunks = ceil(size / CHUNK)
        tensors += 1
        for chunk in range(1, chunks + 1):
            blocks += 1
            full = blocks == BLOCKS or (tensors == TENSORS[lists] and chunk == chunks)
            if full:
                launches, blocks, tensors = launches + 1, 0, int(chunk < chunks)
    return launches + (blocks > 0)


def foreach(lists: int) -> Rule:
    return lambda args: multi_tensor_launches([x.numel() for x in args[0]], lists)


def convolution(args: Arguments) -> int:
    """The product, then the bias, which torch adds by itself."""
    return 1 + (args[2] is not None)


def convolution_backward(args: Arguments) -> int:
    """One kernel for each of the gradients asked for: of the input, of weights, of biases (a sum)."""
    return sum(args[-1])


def batch_norm(args: Arguments) -> int:
    """cuDNN's one kernel, but in bf16 torch's own: clear counters, statistics, running statistics, normalise."""
    return 4 if args[0].dtype == torch.bfloat16 else 1


def batch_norm_backward(args: Arguments) -> int:
    """cuDNN's one kernel, but in bf16 torch's own: clear counters, sums, gradient of the input."""
    return 3 if args[0].dtype == torch.bfloat16 else 1


def fused_norm(_: Arguments) -> int:
    """Statistics of chunks of rows, then the result; sums over chunks, then the gradient."""
    return 2


def single(_: Arguments) -> int:
    return 1


def two(_: Arguments) -> int:
    return 2


RULES: dict[str, Rule] = {
    "aten::convolution": convolution,
    "aten::convolution_backward": convolution_backward,
    "aten::native_batch_norm": batch_norm,
    "aten::native_batch_norm_backward": batch_norm_backward,
    "fastsr::batch_norm": fused_norm,
    "fastsr::batch_norm_backward": fused_norm,
    "aten::_foreach_add_.Scalar": foreach(1),
    "aten::_foreach_mul_.Tensor": foreach(1),
    "aten::_foreach_mul_.Scalar": foreach(1),
    "aten::_foreach_add_.List": foreach(2),
    "aten::_foreach_lerp_.Scalar": foreach(2),
    "aten::_foreach_lerp_.Tensor": foreach(2),
    "aten::_foreach_copy_": foreach(2),
    "aten::_foreach_add.List": foreach(3),  # two read, one written
    "aten::_foreach_sub.List": foreach(3),
    "aten::_fused_adam_": foreach(4),  # parameters, gradients, two moments
    "aten::_fused_adam_.tensor_lr": foreach(4),
    "aten::_amp_foreach_non_finite_check_and_unscale_": foreach(1),
    "aten::mse_loss": two,  # squares, mean
    "aten::max_pool2d_with_indices_backward": two,  # clear, scatter
    "aten::constant_pad_nd": two,  # fill, copy
}
"""By operator; every other that is no view and makes more than room is one kernel: elementwise, sums, casts, copies,
products of matrices (whose bias cuBLAS adds), poolings, pixel shuffles, and the losses and patches of
fastsr_kernels."""
ROOM_ONLY = (
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
)


def is_view(func: Any, result: Any, inputs: set[int]) -> bool:
    """It writes nothing, and what it returns lies in the memory of its arguments."""
    results = [
        x
        for x in (result if isinstance(result, tuple | list) else [result])
        if isinstance(x, Tensor)
    ]
    return not func._schema.is_mutable and all(
        x.untyped_storage()._cdata in inputs for x in results
    )


def nodes_of(func: Any, args: Arguments) -> int:
    """Nodes of one call of an operator that is no view."""
    name, overload = func._schema.name, func._schema.overload_name
    if name in ROOM_ONLY:
        return 0
    return RULES.get(f"{name}.{overload}" if overload else name, RULES.get(name, single))(args)
