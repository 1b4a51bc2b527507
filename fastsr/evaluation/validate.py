"""Mean scores of generators on a few images: validation during training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from fastsr.data.bicubic import Border, upscale
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve


@dataclass(frozen=True)
class Score:
    psnr: float
    """dB."""
    ssim: float


def score(sr: Tensor, pair: Pair, scale: int) -> Score:
    return Score(psnr_y(sr, pair.hr, scale, pair.grey), ssim_y(sr, pair.hr, scale, pair.grey))


def evaluate(
    generators: Mapping[str, SRResNet],
    pairs: Iterator[Pair] | list[Pair],
    scale: int,
    border: Border = "replicate",
) -> dict[str, Score]:
    """Mean scores over images of each generator, and of `bicubic` before them."""
    methods: dict[str, Callable[[Tensor], Tensor]] = {
        "bicubic": lambda lr: upscale(lr, scale, border)
    }
    for name, generator in generators.items():
        methods[name] = lambda lr, g=generator: super_resolve(g, lr)
    scores = [
        {name: score(method(pair.lr), pair, scale) for name, method in methods.items()}
        for pair in pairs
    ]
    return {name: mean_score([row[name] for row in scores]) for name in methods}


def mean_score(scores: list[Score]) -> Score:
    return Score(
        sum(s.psnr for s in scores) / len(scores), sum(s.ssim for s in scores) / len(scores)
    )
