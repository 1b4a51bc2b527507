"""SRResNets of other SRGAN trainers, as ours: other names, biases before BN, one slope for all channels."""

import re

import torch
from torch import Tensor

from fastsr.models.architecture import SRResNetArchitecture

Weights = dict[str, Tensor]


def from_trunk_layout(weights: Weights) -> tuple[SRResNetArchitecture, Weights]:
    """SRGAN-PyTorch by Lornatang: `conv1.0` (or `conv_block1.0`), `trunk.N.rcb.M`, `upsampling.N.upsample_block.0` ...

    Its output is what the tail makes, without tanh. Raises KeyError where a weight is missing.
    """
    names = {
        r"conv(?:_block)?1\.0\.": "input_conv.", r"conv(?:_block)?1\.1\.": "input_activation.",
        r"trunk\.(\d+)\.rcb\.0\.": r"blocks.\1.conv1.", r"trunk\.(\d+)\.rcb\.1\.": r"blocks.\1.norm1.",
        r"trunk\.(\d+)\.rcb\.2\.": r"blocks.\1.activation.", r"trunk\.(\d+)\.rcb\.3\.": r"blocks.\1.conv2.",
        r"trunk\.(\d+)\.rcb\.4\.": r"blocks.\1.norm2.",
        r"conv(?:_block)?2\.0\.": "trunk_conv.", r"conv(?:_block)?2\.1\.": "trunk_norm.",
        r"upsampling\.(\d+)\.upsample_block\.0\.": r"upsamplers.\1.conv.",
        r"upsampling\.(\d+)\.upsample_block\.2\.": r"upsamplers.\1.activation.",
        r"conv(?:_block)?3\.": "output_conv.",
    }  # fmt: skip
    return as_srresnet({renamed(name, names): value for name, value in weights.items()}, "linear")


def from_block_layout(weights: Weights) -> tuple[SRResNetArchitecture, Weights]:
    """`block1.0`, `block2.conv1` ..., and a tail in the last block: SRGAN by leftthomas. Its output is our tanh.

    Raises KeyError where a weight is missing.
    """
    blocks = sorted(
        {int(found[1]) for name in weights if (found := re.match(r"block(\d+)\.", name))}
    )
    trunk, tail = blocks[-2], blocks[-1]
    stages = len({name.split(".")[1] for name in weights if name.startswith(f"block{tail}.")}) - 1
    names = {r"block1\.0\.": "input_conv.", r"block1\.1\.": "input_activation."}
    for k in range(2, trunk):
        for theirs, ours in (("conv", "conv"), ("bn", "norm")):
            names |= {rf"block{k}\.{theirs}{n}\.": f"blocks.{k - 2}.{ours}{n}." for n in (1, 2)}
        names[rf"block{k}\.prelu\."] = f"blocks.{k - 2}.activation."
    names |= {rf"block{trunk}\.0\.": "trunk_conv.", rf"block{trunk}\.1\.": "trunk_norm."}
    names[rf"block{tail}\.{stages}\."] = "output_conv."
    names[rf"block{tail}\.(\d+)\.prelu\."] = r"upsamplers.\1.activation."
    names[rf"block{tail}\.(\d+)\.conv\."] = r"upsamplers.\1.conv."
    return as_srresnet({renamed(name, names): value for name, value in weights.items()}, "tanh")


def renamed(name: str, patterns: dict[str, str]) -> str:
    """Our name for one of theirs; the same where no pattern fits, which strict loading then tells."""
    for pattern, replacement in patterns.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", replacement, name)
    return name


def as_srresnet(weights: Weights, output: str) -> tuple[SRResNetArchitecture, Weights]:
    """Weights under our names as those of our network: it has slopes per channel, and no bias before BN."""
    filters = weights["input_conv.weight"].shape[0]
    factors = [
        round((value.shape[0] / value.shape[1]) ** 0.5)
        for name, value in weights.items()
        if re.fullmatch(r"upsamplers\.\d+\.conv\.weight", name)
    ]
    blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    for name in [name for name in weights if name.endswith("activation.weight")]:
        weights[name] = weights[name].expand(filters).clone()
    for name in [name for name in weights if re.search(r"(?:conv[12]|trunk_conv)\.bias$", name)]:
        take_bias_into_norm(weights, name)
    scale = int(torch.tensor(factors).prod())
    architecture = SRResNetArchitecture(
        scale=scale,
        blocks=blocks,
        filters=filters,
        output="linear" if output == "linear" else "tanh",
    )
    return architecture, weights


def take_bias_into_norm(weights: Weights, name: str) -> None:
    """Leaves out a bias before BN, whose mean becomes smaller by it: the same, out of training."""
    mean = name.replace("conv", "norm").replace(".bias", ".running_mean")
    weights[mean] = weights[mean] - weights.pop(name)
