"""One launch for a whole step: what a callable does on the GPU is recorded once and replayed, as a CUDA graph.

No other file knows of CUDA graphs.

A replay repeats the same kernels on the same memory. So the callable must read and write tensors that stay where they
are, and let nothing depend on numbers of the host.
"""

import gc
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # steps: cuDNN tries its algorithms, torch.compile and Triton compile, libraries take their workspaces


class CaptureError(RuntimeError):
    """A callable that cannot be captured; the text names the operation. What it works on is as it was."""


class Replay:
    """A recorded callable. Calling it launches all of its work at once and does not wait for it."""

    def __init__(self, graph: torch.cuda.CUDAGraph, seconds: float) -> None:
        self.graph = graph
        self.seconds = seconds
        """What compiling, warming up and recording took."""

    def __call__(self) -> None:
        self.graph.replay()

    def close(self) -> None:
        """Gives the memory of the recorded work back. The callable cannot be replayed any more."""
        torch.cuda.synchronize()
        self.graph.reset()


def capture(body: Callable[[], None], state: Sequence[Tensor], warm_up_steps: int = WARM_UP) -> Replay:
    """Records one call of `body` on the current CUDA device.

    Args:
        body: takes and returns nothing; works on device tensors that stay where they are.
        state: every tensor that it changes and later reads. Warm-up changes them too, and they are put back: a run of
            replays equals a run of calls.
    Raises:
        CaptureError: naming what cannot be captured, with `state` as it was. Whatever else the unfinished call left
            behind, such as gradients, is of no use.
    """
    stream, before = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(before)
    with torch.cuda.stream(stream):
        seconds = warm_up(body, state, warm_up_steps)
    torch.cuda.synchronize()
    began = time.perf_counter()
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        # Other threads, such as the one that draws patches on the host, may go on allocating.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            body()
    except RuntimeError as error:
        abandon(graph, pool, before)
        if isinstance(first_error(error), torch.OutOfMemoryError):
            raise first_error(error) from None
        raise CaptureError(f"the step cannot be captured as a CUDA graph: {culprit(error)}") from error
    return Replay(graph, seconds + time.perf_counter() - began)


ABANDONED: list[torch.cuda.CUDAGraph] = []
"""Graphs whose capture failed. torch 2.11's allocator goes on asking them which memory is theirs."""


def abandon(graph: torch.cuda.CUDAGraph, pool: Any, before: torch.cuda.Stream) -> None:
    """Does what a failed capture leaves undone before torch 2.13: the stream and the allocator stay in capture."""
    ABANDONED.append(graph)
    torch.cuda.set_stream(before)
    for undo in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        with suppress(RuntimeError, AttributeError):  # done already, or gone
            getattr(torch._C, undo)(before.device_index, pool)  # pyright: ignore[reportPrivateUsage]
    torch.cuda.synchronize()


def warm_up(body: Callable[[], None], state: Sequence[Tensor], steps: int) -> float:
    """Calls `body` so often that everything is compiled, puts `state` back, and returns the seconds that took."""
    began = time.perf_counter()
    with unchanged(state):
        for _ in range(steps):
            body()
    gc.collect()
    return time.perf_counter() - began


@contextmanager
def unchanged(state: Sequence[Tensor]) -> Generator[None, None, None]:
    """Puts tensors back in place afterwards. The copies wait in host memory: a GPU may have no room for them."""
    before = [tensor.detach().to("cpu", copy=True) for tensor in state]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)


def culprit(error: BaseException) -> str:
    """The first error of a chain, and the last line outside torch that led to it: the operation to look at."""
    error = first_error(error)
    frames = traceback.extract_tb(error.__traceback__)
    torch_folder = str(Path(torch.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(torch_folder)]
    at = f" at {own[-1].filename}:{own[-1].lineno}, `{own[-1].line}`" if own else ""
    return f"{str(error).splitlines()[0] if str(error) else type(error).__name__}{at}"


def first_error(error: BaseException) -> BaseException:
    """What went wrong first: ending a failed capture fails too, and errors of CUDA are RuntimeErrors."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return error
