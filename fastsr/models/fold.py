"""Batch normalisation folded into the convolutions before it: the same network, fewer passes over memory."""

from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fastsr.models import Generator


def folded(generator: Generator) -> Generator:
    """A copy without normalisation, for evaluation: each that is registered behind a convolution becomes part of it."""
    copy = deepcopy(generator).eval().requires_grad_(False)
    for parent in list(copy.modules()):
        children = list(parent.named_children())
        for (before, convolution), (name, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, before, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, name, nn.Identity())
    return copy
