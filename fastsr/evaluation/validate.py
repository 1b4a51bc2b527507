"""Mean scores of generators on a few images: validation during training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from fastsr.data.bicubic import Border, upscale
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.psnr_ssim import compared, finer, psnr, ssim
from fastsr.models import Generator
from fastsr.models.inference import super_resolve_there


@dataclass(frozen=True)
class Score:
    psnr: float
    """dB."""
    ssim: float


def score(sr: Tensor, pair: Pair, scale: int) -> Score:
    """Measured where the enlarged image is: a GPU takes milliseconds for what would keep it waiting for the host."""
    planes = compared(sr, pair.hr.to(sr.device), scale, pair.grey)
    return Score(psnr(*planes), ssim(*planes, finer(pair.hr)))


@dataclass(frozen=True)
class Bicubic:
    """Images enlarged by bicubic and their scores, which no training changes."""

    score: Score
    first: tuple[Tensor, ...]
    """The first few, `[height, width, C]`."""

    @staticmethod
    def of(pairs: Sequence[Pair], scale: int, border: Border, keep: int) -> "Bicubic":
        first = tuple(upscale(pair.lr, scale, border) for pair in pairs[:keep])
        return Bicubic(evaluate({}, pairs, scale, border)["bicubic"], first)


def evaluate(
    generators: Mapping[str, Generator],
    pairs: Iterator[Pair] | Sequence[Pair],
    scale: int,
    border: Border = "replicate",
    bicubic: Score | None = None,
) -> dict[str, Score]:
    """Mean scores over images of each generator, and of `bicubic` before them, unless they are known."""
    methods: dict[str, Callable[[Tensor], Tensor]] = {}
    if bicubic is None:
        methods["bicubic"] = lambda lr: upscale(lr, scale, border)
    for name, generator in generators.items():
        methods[name] = lambda lr, g=generator: super_resolve_there(g, lr)
    scores = [
        {name: score(method(pair.lr), pair, scale) for name, method in methods.items()}
        for pair in pairs
    ]
    known = {"bicubic": bicubic} if bicubic else {}
    return known | {name: mean_score([row[name] for row in scores]) for name in methods}


def mean_score(scores: list[Score]) -> Score:
    return Score(
        sum(s.psnr for s in scores) / len(scores), sum(s.ssim for s in scores) / len(scores)
    )
