"""The memory that a network needs for a pixel, found by running it.

Axes: N = 1 image, C channels, h w low resolution.
"""

import torch
from torch import Tensor

from fastsr.models import Generator
from fastsr.system.live_bytes import LiveBytes

SIDE = 32
"""Of the image whose memory is counted, in pixels."""


@torch.no_grad()
def bytes_per_pixel(network: Generator, device: torch.device) -> float:
    """Bytes that the tensors of a forward pass take at once, for each pixel of low resolution."""
    x: Tensor = torch.zeros(1, network.channels, SIDE, SIDE, device=device)
    with LiveBytes() as live:
        network(x.contiguous(memory_format=torch.channels_last))
    return live.most.total() / SIDE**2
