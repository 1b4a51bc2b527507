"""What a network needs, found by running it: how far it sees, and how much memory a pixel takes.

Axes: N = 1 image, C = 3 channels, h w low resolution.
"""

import torch
from torch import Tensor, nn

from fastsr.system.live_bytes import LiveBytes

NARROWEST, WIDEST, ROWS, SIDE = 64, 4096, 8, 32
"""Lengths of the row that is probed and its height, and the side of the image whose memory is counted."""


@torch.no_grad()
def receptive_field(network: nn.Module, device: torch.device) -> int | None:
    """Pixels beyond a pixel that can change what becomes of it; None where that is all.

    One pixel of a row is NaN: whatever it can reach becomes NaN, however small its weight. Without cuDNN, some of whose
    algorithms mix neighbours that a convolution does not.
    """
    length = NARROWEST
    while length <= WIDEST:
        row = torch.zeros(1, 3, ROWS, length, device=device)
        row[..., length // 2] = torch.nan
        with torch.backends.cudnn.flags(enabled=False):
            touched_W = network(row).isnan().flatten(0, 2).any(0)
        scale = len(touched_W) // length
        places = touched_W.nonzero().flatten() // scale
        if len(places) and int(places[0]) > 0 and int(places[-1]) < length - 1:
            return max(length // 2 - int(places[0]), int(places[-1]) - length // 2)
        length *= 2
    return None


@torch.no_grad()
def bytes_per_pixel(network: nn.Module, device: torch.device) -> float:
    """Bytes that the tensors of a forward pass take at once, for each pixel of low resolution."""
    x: Tensor = torch.zeros(1, 3, SIDE, SIDE, device=device)
    with LiveBytes() as live:
        network(x.contiguous(memory_format=torch.channels_last))
    return live.most.total() / SIDE**2
