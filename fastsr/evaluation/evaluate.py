"""Models against each other on test sets: every metric of every image, under a protocol that is written down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from fastsr.console import counted, is_live, listed, say
from fastsr.data.formats import RGB8, PixelFormat
from fastsr.errors import UserError
from fastsr.evaluation.candidates import Model, open_models, step_of, trained_bits
from fastsr.evaluation.examiner import Examiner
from fastsr.evaluation.metrics import MEASURES, PROTOCOLS, USUAL, is_defined
from fastsr.evaluation.output import (
    PICTURES,
    find_earlier,
    publish,
    save_pictures,
    slug,
    temporary_folder,
    unused,
)
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.protocol import BICUBIC, GIVEN, Protocol
from fastsr.evaluation.reading import PairReader, reading_room
from fastsr.evaluation.request import Request, check_request, is_perceptual
from fastsr.evaluation.results import (
    Evaluation,
    ImageScores,
    Picture,
    ScoredModel,
    ScoredSet,
    evenly_spaced,
)
from fastsr.evaluation.score_cache import ScoreCache
from fastsr.evaluation.tables import print_protocol, progress, score_table
from fastsr.evaluation.test_sets import ImageSet, find_set
from fastsr.evaluation.trained import known_images, training_note
from fastsr.files import sha256_of
from fastsr.system.environment import environment
from fastsr.system.precision import choose_precision


def evaluate_models(request: Request, device: torch.device, console: Console) -> Evaluation:
    """Scores all models on all sets, prints a table for each set, and writes everything to `request.out`.

    Raises UserError for a model, set or image that cannot be used, before anything is scored or written.
    """
    check_request(request)
    models = open_models(request.models, request.weights, device)
    first = next(iter(models.values())).generator
    scale = first.scale
    form = PixelFormat(first.channels, request.bits or trained_bits(request.models))
    sets = open_sets(request, scale, form)
    precision = choose_precision(request.amp and device.type == "cuda", device)
    perceptual, missing = open_metrics(request, scale, device, form.channels)
    wanted = request.metrics or USUAL
    protocol = Protocol(
        scale=scale,
        form=form,
        metrics=tuple(name for name in MEASURES if name in wanted and name not in missing),
        lr=request.lr,
        degraded=request.degraded,
        border=request.border,
        precision=str(precision.dtype or "fp32").removeprefix("torch."),
    )
    evaluation = unscored(models, protocol, missing)
    find_earlier(request.out, evaluation, request.overwrite)
    examiner = Examiner(
        models, protocol, perceptual, precision, ScoreCache(request.cache / "evaluations")
    )
    with temporary_folder(request.out) as folder:
        evaluation = score_sets(evaluation, sets, examiner, request, folder, console)
        earlier = find_earlier(request.out, evaluation, request.overwrite)
        whole = evaluation.added_to(earlier) if earlier and not request.overwrite else evaluation
        publish(whole, folder, request.out, earlier)
    print_protocol(evaluation, request.out, console)
    return whole


def unscored(models: dict[str, Model], protocol: Protocol, missing: dict[str, str]) -> Evaluation:
    """The evaluation of models, and of bicubic before them, before any set is scored."""
    scored = [
        ScoredModel(name, str(m.file), m.weights, m.variant or "", sha256_of(m.file))
        for name, m in models.items()
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


def open_sets(request: Request, scale: int, form: PixelFormat = RGB8) -> list[ImageSet]:
    """Raises UserError where a set cannot be found, or two have one name."""
    if not request.sets:
        raise UserError("--sets names no test set; give names such as Set5, or folders of images")
    if scale == 1 and request.lr == BICUBIC and not request.degraded:
        raise UserError(
            "--lr bicubic changes nothing at x1; use --degrade, or --lr given with the images to restore in a "
            "folder LR of the set"
        )
    sets = [
        find_set(word, request.data_root, scale, request.lr == GIVEN, form.suffixes)
        for word in request.sets
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
    request: Request, scale: int, device: torch.device, channels: int = 3
) -> tuple[Perceptual, dict[str, str]]:
    """The perceptual metrics that can be measured, and for each of the others the reason why not.

    Raises UserError where one of those was asked for.
    """
    perceptual = Perceptual((), scale, device, request.metric_weights)
    missing: dict[str, str] = {}
    for name in request.metrics or USUAL:
        if name not in PROTOCOLS:
            continue
        if not is_defined(name, channels):
            missing[name] = f"it is defined for RGB and grey, not for {channels} channels"
            if request.metrics:
                raise UserError(f"--metrics {name} cannot be used: {missing[name]}")
            continue
        try:
            perceptual.add(name)
        except UserError as error:
            if request.metrics:
                raise
            missing[name] = str(error)
    return perceptual, missing


def score_sets(
    evaluation: Evaluation,
    sets: list[ImageSet],
    examiner: Examiner,
    request: Request,
    folder: Path,
    console: Console,
) -> Evaluation:
    """The evaluation with the scores of these sets, whose pictures are written below `folder`; a table for each.

    Raises UserError listing all images that cannot be used, before any is scored.
    """
    reader = PairReader(examiner.protocol, reading_room())
    known = [one for model in request.models if (one := known_images(model))]
    with progress(console) as bar:
        task = bar.add_task("reading", total=None)
        notes = reader.check(sets)
        bar.reset(task, total=examiner.methods * sum(len(images.images) for images in sets))
        for images in sets:
            bar.update(task, description=escape(images.name))
            scored = to_score(request, images, notes[images.name], examiner.perceptual.names)
            if not is_live(console):
                count = f"{counted(len(images.images), 'image')} by {examiner.methods} methods"
                say(console, f"scoring {images.name}: {count}")
            place = unused(Path(PICTURES) / slug(images.name), folder, request.out)
            shown = Shown(folder, place, request.pictures)
            scores, pictures = score_set(
                examiner, images, reader, shown, scored, lambda: bar.advance(task)
            )
            seen = training_note(known, reader.pairs(images.images), evaluation.scale)
            scored = replace(scored, notes=(*scored.notes, *seen))
            evaluation = evaluation.with_set(scored, scores, pictures)
            console.print(score_table(evaluation, scored))
    return evaluation


def to_score(
    request: Request, images: ImageSet, notes: Sequence[str], perceptual: Sequence[str]
) -> ScoredSet:
    """A set as it is wanted.

    Args:
        perceptual: names of the perceptual metrics that are measured.
    """
    count, wanted = len(images.images), request.perceptual_images
    chosen = wanted if wanted < count and is_perceptual(request, images.name) else 0
    if chosen and perceptual:
        names = listed([MEASURES[name].name for name in perceptual])
        notes = (*notes, f"{names} on {chosen} of {count} images, evenly spaced")
    about = (count, str(images.folder), tuple(notes), is_perceptual(request, images.name), chosen)
    return ScoredSet(images.name, *about)


@dataclass(frozen=True)
class Shown:
    """The pictures of a set that are kept."""

    folder: Path
    place: Path
    """Their place below the folder."""
    count: int
    """Of the first so many images."""


def score_set(
    examiner: Examiner,
    images: ImageSet,
    reader: PairReader,
    shown: Shown,
    scored: ScoredSet,
    advance: Callable[[], None],
) -> tuple[list[ImageScores], list[Picture]]:
    """The scores of one set, and its pictures, which are written.

    Args:
        advance: called behind each method on each image.
    """
    scores: list[ImageScores] = []
    pictures: list[Picture] = []
    chosen = evenly_spaced(scored.images, scored.perceptual_images) if scored.perceptual else []
    for index, (files, pair) in enumerate(
        zip(images.images, reader.pairs(images.images), strict=True)
    ):
        is_shown = index < shown.count
        methods, measured = examiner.examine(pair, index in chosen, is_shown, advance)
        scores += [
            ImageScores(images.name, files.name, model, values)
            for model, values in measured.items()
        ]
        if is_shown:
            place = shown.place / f"{index:03d}-{slug(files.name)}"
            saved = save_pictures(methods, shown.folder, place)
            pictures.append(Picture(images.name, files.name, saved))
    return scores, pictures
