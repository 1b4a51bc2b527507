"""Branches of work that a GPU may run beside each other."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch


class Branches:
    """Side streams, which begin where `fork` is called and end where `join` is: the peers of one cohort, and `aside`.

    A patch of 24x24 pixels does not fill a modern GPU; the work of several peers does. Within a captured CUDA graph the
    streams become parallel branches. On a CPU, and with one stream, work simply follows in order.

    Tensors that cross from one stream to another must live until the next `join`: torch's allocator hands freed
    memory to later work on the stream that it was allocated on, without waiting for others.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        parallel = device.type == "cuda" and count > 1
        self.streams: Sequence[torch.cuda.Stream] = [
            torch.cuda.Stream(device) for _ in range((count + 1) * parallel)
        ]
        """The last is `aside`."""

    def fork(self) -> None:
        """Work queued from here on, on any branch, begins after all that was queued before."""
        for stream in self.streams:
            stream.wait_stream(torch.cuda.current_stream(stream.device))

    @contextmanager
    def branch(self, index: int) -> Generator[None, None, None]:
        """Queues work on branch `index`, counted around where there are fewer streams."""
        if not self.streams:
            yield
            return
        with torch.cuda.stream(self.streams[index % (len(self.streams) - 1)]):
            yield

    @contextmanager
    def aside(self) -> Generator[None, None, None]:
        """Queues work beside all branches: what serves every peer."""
        if not self.streams:
            yield
            return
        with torch.cuda.stream(self.streams[-1]):
            yield

    def join(self) -> None:
        """Work queued from here on begins after all branches have ended."""
        for stream in self.streams:
            torch.cuda.current_stream(stream.device).wait_stream(stream)
