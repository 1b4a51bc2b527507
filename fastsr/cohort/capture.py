"""Captures a training step as a CUDA graph, so that one launch replays all of its kernels.

No other file uses CUDA graphs. A replay runs the same kernels on the same memory: the callable must read and write
tensors whose storage stays in place, and must not depend on values of the host.
"""

import gc
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

WARM_UP_STEPS = 3
"""cuDNN tries its algorithms, torch.compile and Triton compile, libraries allocate their workspaces."""
FAILED_GRAPHS: list[torch.cuda.CUDAGraph] = []
"""Kept alive, as torch 2.11's allocator goes on asking them which memory is theirs."""


class CaptureError(RuntimeError):
    """A callable cannot be captured; the message names the operation. Its state is as it was before."""


class Replay:
    """A captured callable. Calling it launches the graph and does not wait for it."""

    def __init__(self, graph: torch.cuda.CUDAGraph, seconds: float) -> None:
        self.graph = graph
        self.seconds = seconds
        """Duration of compilation, warm-up and capture."""

    def __call__(self) -> None:
        self.graph.replay()

    def close(self) -> None:
        """Frees the memory of the graph, which cannot be replayed any more."""
        torch.cuda.synchronize()
        self.graph.reset()


def capture(
    body: Callable[[], None], state: Sequence[Tensor], warm_up_steps: int = WARM_UP_STEPS
) -> Replay:
    """Captures one call of `body` on the current CUDA device.

    Args:
        body: takes and returns nothing; works on device tensors whose storage stays in place.
        state: every tensor that it changes and later reads. They are restored after warm-up, so that a run of replays
            equals a run of calls.
    Raises:
        CaptureError: naming the operation that cannot be captured, with `state` restored. Whatever else the unfinished
            call left behind, such as gradients, must be discarded.
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
        end_failed_capture(graph, pool, before)
        if isinstance(root_cause(error), torch.OutOfMemoryError):
            raise root_cause(error) from None
        raise CaptureError(
            f"the step cannot be captured as a CUDA graph: {describe_failure(error)}"
        ) from error
    return Replay(graph, seconds + time.perf_counter() - began)


def end_failed_capture(graph: torch.cuda.CUDAGraph, pool: Any, before: torch.cuda.Stream) -> None:
    """Ends the capture that a failure leaves the stream and the allocator in before torch 2.13."""
    FAILED_GRAPHS.append(graph)
    torch.cuda.set_stream(before)
    for end in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        with suppress(RuntimeError, AttributeError):  # done already, or gone
            getattr(torch._C, end)(before.device_index, pool)  # pyright: ignore[reportPrivateUsage]
    torch.cuda.synchronize()
    with suppress(RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the graph is empty
        # CUDA's random generator believes that it is being captured, until a capture ends well.
        with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
            pass


def warm_up(body: Callable[[], None], state: Sequence[Tensor], steps: int) -> float:
    """Calls `body` `steps` times, so that everything is compiled, restores `state`, and returns the seconds taken."""
    began = time.perf_counter()
    with unchanged(state):
        for _ in range(steps):
            body()
    gc.collect()
    return time.perf_counter() - began


@contextmanager
def unchanged(state: Sequence[Tensor]) -> Generator[None, None, None]:
    """Restores tensors in place on exit. Copies are kept in host memory: a GPU may have no room for them."""
    before = [tensor.detach().to("cpu", copy=True) for tensor in state]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)


def describe_failure(error: BaseException) -> str:
    """The message of the root cause, with the last line outside torch that led to it."""
    error = root_cause(error)
    frames = traceback.extract_tb(error.__traceback__)
    torch_folder = str(Path(torch.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(torch_folder)]
    at = f" at {own[-1].filename}:{own[-1].lineno}, `{own[-1].line}`" if own else ""
    return f"{str(error).splitlines()[0] if str(error) else type(error).__name__}{at}"


def root_cause(error: BaseException) -> BaseException:
    """The first error of a chain: ending a failed capture raises another one, and errors of CUDA are RuntimeErrors."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return error
