"""Generators of other projects, recognised by the names and shapes of their weights, and renamed to ours.

Known: RRDBNet of BasicSR and Real-ESRGAN, of ESRGAN and BSRGAN (`RRDB_trunk`), and of the first ESRGAN (`model.1.sub`);
BasicSR's MSRResNet; Real-ESRGAN's SRVGGNetCompact; SPAN; the SRResNets of two much-used SRGAN-PyTorch repositories.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, cast

from torch import Tensor

from fastsr.models.architecture import (
    CHANNELS,
    CompactArchitecture,
    GeneratorArchitecture,
    MSRResNetArchitecture,
    RRDBArchitecture,
    SPANArchitecture,
)
from fastsr.models.foreign_srgan import from_block_layout, from_trunk_layout

Weights = dict[str, Tensor]
CONTAINERS = (
    "params_ema", "ema_state_dict", "params", "state_dict", "model_state_dict", "generator", "model",
)  # fmt: skip
"""Entries under which trainers keep a generator's weights, averaged ones first."""
PREFIXES = ("module.", "_orig_mod.", "generator.", "netG.")
"""Beginnings of all names that wrappers add."""


@dataclass(frozen=True)
class Recognised:
    """A generator's description, its weights under our names, and whose names they had."""

    architecture: GeneratorArchitecture
    weights: Weights
    layout: str


def unwrap(content: object) -> Weights | None:
    """The generator's weights in what a file held: bare, or in one of `CONTAINERS`, without wrappers' prefixes."""
    if not isinstance(content, Mapping):
        return None
    entries = cast("Mapping[Any, Any]", content)
    for name in CONTAINERS:
        if isinstance(entries.get(name), Mapping):
            return unwrap(entries[name])
    tensors = {str(name): value for name, value in entries.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return unwrap({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors


def recognise(weights: Weights) -> Recognised | None:
    """The generator that weights belong to, by names and shapes; None where it is none of those known.

    Raises ValueError where names are known and shapes make no network of that kind.
    """
    try:
        if "body.0.rdb1.conv1.weight" in weights and "conv_first.weight" in weights:
            return Recognised(rrdb(weights), weights, "BasicSR")
        if "RRDB_trunk.0.RDB1.conv1.weight" in weights:
            renamed = rename(weights, TRUNK_NAMES)
            return Recognised(rrdb(renamed), renamed, "ESRGAN (RRDB_trunk)")
        if "model.1.sub.0.RDB1.conv1.0.weight" in weights:
            renamed = rename_first_esrgan(weights)
            return Recognised(rrdb(renamed), renamed, "ESRGAN of 2018 (model.1.sub)")
        if "body.0.conv1.weight" in weights and "upconv1.weight" in weights:
            return Recognised(msrresnet(weights), weights, "BasicSR")
        if "block_1.c1_r.sk.weight" in weights and "upsampler.0.weight" in weights:
            return Recognised(span(weights), with_fused(weights), "SPAN")
        if "body.0.weight" in weights and "body.1.weight" in weights:
            return Recognised(compact(weights), weights, "Real-ESRGAN")
        if "trunk.0.rcb.0.weight" in weights:
            return Recognised(*from_trunk_layout(weights), "SRGAN-PyTorch (trunk.N.rcb)")
        if "block2.conv1.weight" in weights and "block1.0.weight" in weights:
            return Recognised(*from_block_layout(weights), "SRGAN (blockN)")
    except (KeyError, IndexError) as error:
        raise ValueError(f"it lacks {error}") from None
    except (RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"shapes of its weights do not go together ({error})") from None
    return None


TRUNK_NAMES = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
"""Names of ESRGAN's second published code, which BSRGAN and RealSR took over, and BasicSR's for the same."""


def rename(weights: Weights, patterns: tuple[tuple[str, str], ...]) -> Weights:
    """The weights under new names; those that no pattern fits keep theirs."""
    renamed: Weights = {}
    for name, value in weights.items():
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def rename_first_esrgan(weights: Weights) -> Weights:
    """From names by place, as in ESRGAN's first code, where the number of stages decides what each place is.

    The places: convolution, trunk, for each doubling an enlargement, a convolution and an activation, then convolution,
    activation, convolution.
    """
    blocks = count(weights, r"model\.1\.sub\.(\d+)\.RDB1\.")
    last = count(weights, r"model\.(\d+)\.(?:weight|bias)") - 1
    places = {0: "conv_first", last - 2: "conv_hr", last: "conv_last"}
    places |= {place: f"conv_up{place // 3}" for place in range(3, last - 2, 3)}
    return rename(
        weights,
        (
            (r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
            (rf"^model\.1\.sub\.{blocks}\.", "conv_body."),
            *((rf"^model\.{place}\.(?=weight|bias)", f"{name}.") for place, name in places.items()),
        ),
    )


def count(weights: Weights, pattern: str) -> int:
    """One more than the highest number that the group of a pattern has in the names; 0 where none fits."""
    found = (re.match(pattern, name) for name in weights)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def rrdb(weights: Weights) -> RRDBArchitecture:
    first = weights["conv_first.weight"]
    unshuffle = square_root(first.shape[1], "input channels")
    factor = 2 ** max(count(weights, r"conv_up(\d)\.") - 1, 0)  # conv_up is counted from 1
    if factor % unshuffle:
        raise ValueError(f"it takes apart cells of {unshuffle} pixels, and enlarges by {factor}")
    return RRDBArchitecture(
        scale=factor // unshuffle, blocks=count(weights, r"body\.(\d+)\."), filters=first.shape[0],
        growth=weights["body.0.rdb1.conv1.weight"].shape[0], unshuffle=unshuffle,
    )  # fmt: skip


def msrresnet(weights: Weights) -> MSRResNetArchitecture:
    first, up = weights["conv_first.weight"], weights["upconv1.weight"]
    scale = 4 if "upconv2.weight" in weights else isqrt(up.shape[0] // up.shape[1])
    return MSRResNetArchitecture(
        scale=scale, blocks=count(weights, r"body\.(\d+)\."), filters=first.shape[0]
    )


def compact(weights: Weights) -> CompactArchitecture:
    last = count(weights, r"body\.(\d+)\.") - 1
    scale = square_root(weights[f"body.{last}.weight"].shape[0], "output channels")
    return CompactArchitecture(
        scale=scale, blocks=last // 2 - 1, filters=weights["body.0.weight"].shape[0]
    )


def span(weights: Weights) -> SPANArchitecture:
    scale = square_root(weights["upsampler.0.weight"].shape[0], "output channels")
    return SPANArchitecture(
        scale=scale, filters=weights["conv_1.sk.weight"].shape[0], normalise="no_norm" not in weights
    )  # fmt: skip


def with_fused(weights: Weights) -> Weights:
    """SPAN's weights, zeros for fused convolutions that a trainer left out: they follow from the others."""
    complete = dict(weights)
    for name, value in weights.items():
        if name.endswith(".sk.weight"):
            base = name.removesuffix("sk.weight") + "eval_conv."
            complete.setdefault(f"{base}weight", value.new_zeros(*value.shape[:2], 3, 3))
            complete.setdefault(f"{base}bias", value.new_zeros(value.shape[0]))
    if "no_norm" in complete:
        complete["no_norm"] = complete["no_norm"].new_zeros(1)
    return complete


def square_root(channels: int, what: str) -> int:
    """The factor whose square times three is a number of channels. Raises ValueError where images are not RGB."""
    factor = isqrt(channels // CHANNELS)
    if factor < 1 or channels != CHANNELS * factor**2:
        raise ValueError(f"{channels} {what} are not those of RGB images")
    return factor
