"""Models against each other on test sets: every metric of every image, under a protocol that is written down."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from torch import Tensor

from fastsr.config.settings import Border
from fastsr.console import say
from fastsr.data.bicubic import upscale
from fastsr.errors import UserError
from fastsr.evaluation.candidates import Model, open_models, step_of
from fastsr.evaluation.metrics import MEASURES, PROTOCOLS, USUAL
from fastsr.evaluation.output import complete_folder, save_pictures, slug, write_files
from fastsr.evaluation.pairs import Pair, check_images, load
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.protocol import BICUBIC, Protocol
from fastsr.evaluation.psnr_ssim import psnr_rgb, psnr_y, ssim_y
from fastsr.evaluation.results import (
    ORIGINAL,
    Evaluation,
    ImageScores,
    Picture,
    ScoredModel,
    ScoredSet,
    number,
)
from fastsr.evaluation.tables import print_protocol, score_table
from fastsr.evaluation.test_sets import ImageFiles, ImageSet, find_set
from fastsr.models.inference import super_resolve
from fastsr.system.environment import environment
from fastsr.system.precision import Precision, choose_precision


class Examiner:
    """Scores models on images, one image at a time.

    Args:
        perceptual: measures those metrics of the protocol that are not measured here.
        precision: what generators run in.
    """

    def __init__(
        self,
        models: dict[str, Model],
        protocol: Protocol,
        perceptual: Perceptual,
        precision: Precision,
    ) -> None:
        self.protocol, self.perceptual = protocol, perceptual
        self.methods: dict[str, Callable[[Tensor], Tensor]] = {
            BICUBIC: lambda lr: upscale(lr, protocol.scale, protocol.border)
        }
        for name, model in models.items():
            self.methods[name] = lambda lr, g=model.generator: super_resolve(g, lr, precision)

    def examine(
        self, files: ImageFiles, perceptual: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
        """Every method's version of an image, uint8 `[height, width, 3]`, with the original behind, and scores.

        Args:
            perceptual: measure perceptual metrics too; else they are NaN.
        """
        pair = load(files, self.protocol)
        images = {name: method(pair.lr) for name, method in self.methods.items()}
        scores = {name: self.measure(image, pair, perceptual) for name, image in images.items()}
        return {**images, ORIGINAL: pair.hr}, scores

    def measure(self, sr: Tensor, pair: Pair, perceptual: bool) -> dict[str, float]:
        """By metric; NaN where an image equals its original, or is too small, or a metric is not wanted."""
        scale = self.protocol.scale
        values: dict[str, float | None] = {
            "psnr": psnr_y(sr, pair.hr, scale, pair.grey),
            "psnr_rgb": psnr_rgb(sr, pair.hr),
            "ssim": ssim_y(sr, pair.hr, scale, pair.grey),
        }
        if perceptual:
            values |= self.perceptual.measure(sr, pair.hr, pair.grey)
        return {name: number(values.get(name)) for name in self.protocol.metrics}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One evaluation as it was asked for: models, test sets, rules, and the folder for the results."""

    models: tuple[Path, ...]
    """Runs, checkpoints and generators' files."""
    sets: tuple[str, ...]
    """Names below `data_root`, or folders."""
    data_root: Path
    out: Path
    weights: tuple[str, ...] = ("ema", "raw")
    metrics: tuple[str, ...] = ()
    """None: PSNR and SSIM, and of NIQE and PI what can be measured here."""
    metric_weights: Path | None = None
    perceptual_sets: tuple[str, ...] = ()
    """Names of the sets that perceptual metrics are measured on. None: all."""
    lr: str = BICUBIC
    border: Border = "replicate"
    pictures: int = 2
    """Images of each set whose pictures are kept."""
    amp: bool = False


def evaluate_models(request: Request, device: torch.device, console: Console) -> Evaluation:
    """Scores all models on all sets, prints a table for each set, and writes everything to `request.out`.

    Raises UserError for a model, set or image that cannot be used, before anything is scored or written.
    """
    if request.pictures < 0:
        raise UserError(f"--pictures {request.pictures} cannot be used; use 0 or more")
    models = open_models(request.models, request.weights, device)
    scale = next(iter(models.values())).generator.scale
    sets = open_sets(request, scale)
    precision = choose_precision(request.amp and device.type == "cuda", device)
    perceptual, missing = open_metrics(request, scale, device)
    wanted = request.metrics or USUAL
    protocol = Protocol(
        scale=scale,
        metrics=tuple(name for name in MEASURES if name in wanted and name not in missing),
        lr=request.lr,
        border=request.border,
        precision=str(precision.dtype or "fp32").removeprefix("torch."),
    )
    evaluation = unscored(models, protocol, missing)
    notes = check_images(sets, protocol)
    examiner = Examiner(models, protocol, perceptual, precision)
    with complete_folder(request.out) as folder:
        for images in sets:
            with_perceptual = is_perceptual(request, images.name)
            scores, pictures = score_set(
                examiner, images, folder, request.pictures, console, with_perceptual
            )
            scored = ScoredSet(
                images.name,
                len(images.images),
                str(images.folder),
                tuple(notes[images.name]),
                with_perceptual,
            )
            evaluation = evaluation.with_set(scored, scores, pictures)
            console.print(score_table(evaluation, scored))
        write_files(evaluation, folder)
    print_protocol(evaluation, request.out, console)
    return evaluation


def unscored(models: dict[str, Model], protocol: Protocol, missing: dict[str, str]) -> Evaluation:
    """The evaluation of models, and of bicubic before them, before any set is scored."""
    scored = [
        ScoredModel(name, str(m.file), m.weights, m.variant or "") for name, m in models.items()
    ]
    return Evaluation(
        scale=protocol.scale,
        protocol=protocol.texts(),
        environment=environment(),
        models=(ScoredModel(BICUBIC), *scored),
        metrics=protocol.metrics,
        missing=missing,
        step=step_of(models),
    )


def is_perceptual(request: Request, test_set: str) -> bool:
    """True if perceptual metrics are measured on a set of that name."""
    return not request.perceptual_sets or test_set in request.perceptual_sets


def open_sets(request: Request, scale: int) -> list[ImageSet]:
    """Raises UserError where a set cannot be found, or two have one name."""
    if not request.sets:
        raise UserError("--sets names no test set; give names such as Set5, or folders of images")
    sets = [
        find_set(word, request.data_root, scale, request.lr == "given") for word in request.sets
    ]
    for images in sets:
        if len([other for other in sets if other.name == images.name]) > 1:
            raise UserError(f"--sets names two sets called {images.name}; evaluate one at a time")
    for name in request.perceptual_sets:
        if name not in [images.name for images in sets]:
            raise UserError(
                f"--perceptual-sets {name} is none of the test sets; use names that --sets has"
            )
    return sets


def open_metrics(
    request: Request, scale: int, device: torch.device
) -> tuple[Perceptual, dict[str, str]]:
    """The perceptual metrics that can be measured, and for each of the others the reason why not.

    Raises UserError where one of those was asked for.
    """
    perceptual = Perceptual((), scale, device, request.metric_weights)
    missing: dict[str, str] = {}
    for name in request.metrics or USUAL:
        if name not in PROTOCOLS:
            continue
        try:
            perceptual.add(name)
        except UserError as error:
            if request.metrics:
                raise
            missing[name] = str(error)
    return perceptual, missing


def score_set(
    examiner: Examiner,
    images: ImageSet,
    folder: Path,
    keep: int,
    console: Console,
    perceptual: bool,
) -> tuple[list[ImageScores], list[Picture]]:
    """The scores of one set, and the pictures of its first `keep` images, which are written below `folder`."""
    if not console.is_terminal:
        say(
            console,
            f"scoring {images.name}: {len(images.images)} images by {len(examiner.methods)} methods",
        )
    shown = track(
        images.images,
        escape(images.name),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    scores: list[ImageScores] = []
    pictures: list[Picture] = []
    for index, files in enumerate(shown):
        methods, measured = examiner.examine(files, perceptual)
        scores += [
            ImageScores(images.name, files.name, model, values)
            for model, values in measured.items()
        ]
        if index < keep:
            place = Path("pictures") / slug(images.name) / f"{index:03d}-{slug(files.name)}"
            pictures.append(Picture(images.name, files.name, save_pictures(methods, folder, place)))
    return scores, pictures
