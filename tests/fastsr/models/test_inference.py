"""Generators on whole images."""

import torch

from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve


def test_inference_uses_cudnn_without_searching() -> None:
    """Every image has another size: an algorithm search for each would cost more than it gains."""
    seen: list[tuple[bool, bool]] = []
    generator = SRResNet(2, blocks=1, filters=4).eval()
    cudnn = torch.backends.cudnn
    generator.register_forward_hook(lambda *_: seen.append((cudnn.enabled, cudnn.benchmark)))
    with cudnn.flags(enabled=True, benchmark=True):
        super_resolve(generator, torch.zeros(8, 8, 3, dtype=torch.uint8))
    assert seen == [(True, False)]
