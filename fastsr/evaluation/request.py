"""One evaluation as it is asked for, and whether it can be meant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fastsr.config.fixed import FixedDegradation
from fastsr.config.mixing import require
from fastsr.config.settings import Border
from fastsr.errors import UserError
from fastsr.evaluation.metrics import MEASURES
from fastsr.evaluation.protocol import BICUBIC, GIVEN
from fastsr.files import default_cache


@dataclass(frozen=True, kw_only=True)
class Request:
    """Models, test sets, rules, and the folder for the results."""

    models: tuple[Path, ...]
    """Runs, checkpoints and generators' files."""
    sets: tuple[str, ...]
    """Names below `data_root`, or folders."""
    data_root: Path
    out: Path
    weights: tuple[str, ...] = ("ema", "raw")
    metrics: tuple[str, ...] = ()
    """Empty: PSNR and SSIM, and of NIQE and PI what can be measured here."""
    metric_weights: Path | None = None
    perceptual_sets: tuple[str, ...] = ()
    """Names of the sets that perceptual metrics are measured on. Empty: all."""
    perceptual_images: int = 0
    """Images of each set, evenly spaced, that perceptual metrics are measured on. 0: all."""
    lr: str = BICUBIC
    degraded: FixedDegradation | None = None
    """Degradations that low resolution is made by, instead of by bicubic."""
    border: Border = "replicate"
    bits: Literal[8, 16] | None = None
    """Of the images that are compared. None: as the runs were trained, 8 for single files."""
    pictures: int = 2
    """Images of each set whose pictures are kept."""
    amp: bool = False
    overwrite: bool = False
    """An evaluation that is there is replaced; else sets are added to it."""
    cache: Path = field(default_factory=default_cache)
    """Folder of what is kept between calls."""


def check_request(request: Request) -> None:
    """Raises UserError for a word or number that cannot be meant, and for two that contradict each other."""
    words: tuple[tuple[str, tuple[object, ...], tuple[object, ...]], ...] = (
        ("metrics", request.metrics, tuple(MEASURES)),
        ("weights", request.weights, ("ema", "raw")),
        ("lr", (request.lr,), (BICUBIC, GIVEN)),
        ("border", (request.border,), get_args(Border)),
        ("bits", (request.bits or 8,), (8, 16)),
    )
    for name, given, usable in words:
        for word in given:
            require(word in usable, name, word, f"use {' or '.join(map(str, usable))}")
    require(request.pictures >= 0, "pictures", request.pictures, "use 0 or more")
    if request.degraded and request.lr == GIVEN:
        raise UserError("--lr given reads low resolutions, and --degrade makes them; leave one out")


def is_perceptual(request: Request, test_set: str) -> bool:
    """True if perceptual metrics are measured on a set of that name."""
    return not request.perceptual_sets or test_set in request.perceptual_sets
