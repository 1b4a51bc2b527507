"""Generators on single images, whole, as training and evaluation look at them. Files are the matter of inference/."""

import torch
from torch import Tensor

from fastsr.models import Generator
from fastsr.system.precision import Precision


def super_resolve(
    generator: Generator, lr_hwC: Tensor, precision: Precision | None = None
) -> Tensor:
    """`[h, w, C]` to `[scale*h, scale*w, C]`, uint8 or uint16, rounded; on the generator's device, then the CPU."""
    return super_resolve_there(generator, lr_hwC, precision).cpu()


@torch.no_grad()
def super_resolve_there(
    generator: Generator, lr_hwC: Tensor, precision: Precision | None = None
) -> Tensor:
    """The same; the result stays where the generator is."""
    assert not any(module.training for module in generator.modules()), "not in evaluation mode"
    device = next(generator.parameters()).device
    most = 255 if lr_hwC.dtype == torch.uint8 else 65535
    x = lr_hwC.to(device).permute(2, 0, 1)[None].float() / most
    # Every image has another size: for cuDNN to search for the best algorithm would not pay.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
    with exact, (precision or Precision()).autocast(device):
        sr = generator(x.contiguous(memory_format=torch.channels_last))[0]
    return (sr * most).round().clamp(0, most).to(lr_hwC.dtype).permute(1, 2, 0)
