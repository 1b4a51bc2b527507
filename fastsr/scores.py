"""`fastsr eval`: from models and test sets to tables on the screen, CSV and JSON files, and pictures."""

import csv
import json
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.text import Text
from torch import Tensor

from fastsr.bicubic import Border
from fastsr.errors import UserError
from fastsr.files import sync
from fastsr.measures import MEASURES, USUAL
from fastsr.perceptual import PROTOCOLS, Perceptual
from fastsr.precision import choose_precision
from fastsr.scoreboard import BICUBIC, Examiner, Protocol, Scoreboard, check_images, open_models, step_of
from fastsr.telemetry import say
from fastsr.testsets import ImageSet, find_set

JSON_NAME = "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated, how, and where the results go."""

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


def evaluate_models(request: Request, device: torch.device, console: Console) -> Scoreboard:
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
    facts = {BICUBIC: {}, **{name: model.facts() for name, model in models.items()}}
    board = Scoreboard(protocol, facts, missing, step_of(models))
    notes = check_images(sets, protocol)
    examiner = Examiner(models, protocol, perceptual, precision)
    with complete_folder(request.out) as folder:
        for images in sets:
            board.sets[images.name] = {"images": len(images.images), "folder": str(images.folder)}
            board.sets[images.name]["notes"] = notes[images.name]
            board.sets[images.name]["perceptual"] = is_perceptual(request, images.name)
            score_set(board, examiner, images, folder, request.pictures, console)
            console.print(score_table(board, images.name))
        write_files(board, folder)
    print_protocol(board, request.out, console)
    return board


def is_perceptual(request: Request, test_set: str) -> bool:
    """Whether perceptual metrics are measured on a set of that name."""
    return not request.perceptual_sets or test_set in request.perceptual_sets


def open_sets(request: Request, scale: int) -> list[ImageSet]:
    """Raises UserError where a set cannot be found, or two have one name."""
    if not request.sets:
        raise UserError("--sets names no test set; give names such as Set5, or folders of images")
    sets = [find_set(word, request.data_root, scale, request.lr == "given") for word in request.sets]
    for images in sets:
        if len([other for other in sets if other.name == images.name]) > 1:
            raise UserError(f"--sets names two sets called {images.name}; evaluate one at a time")
    for name in request.perceptual_sets:
        if name not in [images.name for images in sets]:
            raise UserError(f"--perceptual-sets {name} is none of the test sets; use names that --sets has")
    return sets


def open_metrics(request: Request, scale: int, device: torch.device) -> tuple[Perceptual, dict[str, str]]:
    """What can be measured, and why the rest cannot. Raises UserError where that was asked for."""
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
    board: Scoreboard, examiner: Examiner, images: ImageSet, folder: Path, pictures: int, console: Console
) -> None:
    """Adds the scores of one set to the board, and writes pictures of its first images."""
    if not console.is_terminal:
        say(console, f"scoring {images.name}: {len(images.images)} images by {len(examiner.methods)} methods")
    shown = track(images.images, escape(images.name), console=console, disable=not console.is_terminal, transient=True)
    for index, files in enumerate(shown):
        methods, scores = examiner.examine(files, board.sets[images.name]["perceptual"])
        board.images += [{"set": images.name, "image": files.name, "model": m, **v} for m, v in scores.items()]
        if index < pictures:
            place = Path("pictures") / slug(images.name) / f"{index:03d}-{slug(files.name)}"
            saved = save_pictures(methods, folder, place)
            board.pictures.append({"set": images.name, "image": files.name, "files": saved})


def save_pictures(methods: Mapping[str, Tensor], folder: Path, place: Path) -> dict[str, str]:
    """Writes images as PNG below a folder. Returns their paths in it."""
    (folder / place).mkdir(parents=True)
    saved: dict[str, str] = {}
    for index, (name, image) in enumerate(methods.items()):
        saved[name] = (place / f"{index}-{slug(name)}.png").as_posix()
        Image.fromarray(image.numpy()).save(folder / saved[name])
    return saved


def slug(name: str) -> str:
    """A name as a part of a path."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"


@contextmanager
def complete_folder(out: Path) -> Generator[Path, None, None]:
    """Yields a folder that becomes `out` when everything is in it; an evaluation that was there is replaced.

    Raises UserError where `out` holds anything else, or cannot be written.
    """
    if out.exists() and not (out / JSON_NAME).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is no evaluation; give another folder")
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".evaluating-"))
        temporary.chmod(0o755)
        yield temporary
        if out.exists():
            old = temporary.with_name(f"{temporary.name}-old")
            out.rename(old)
            temporary.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(out)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def write_files(board: Scoreboard, folder: Path) -> None:
    """evaluation.json with everything, images.csv with a row for each image and model, means.csv. Raises OSError."""
    text = json.dumps(board.facts(), indent=1, allow_nan=False)
    (folder / JSON_NAME).write_text(text + "\n", encoding="utf-8")
    extra = {name: {k: facts.get(k) or "" for k in ("weights", "variant")} for name, facts in board.models.items()}
    metrics = list(board.protocol.metrics)
    rows = [{**row, **extra[row["model"]]} for row in board.images]
    write_csv(folder / "images.csv", ["set", "image", "model", "weights", "variant", *metrics], rows)
    means = [
        {"set": name, "model": model, **extra[model], **values}
        for name, models in board.means().items()
        for model, values in models.items()
    ]
    write_csv(folder / "means.csv", ["set", "model", "weights", "variant", *metrics], means)
    for path in folder.rglob("*"):
        sync(path)


def write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)


def score_table(board: Scoreboard, name: str) -> Table:
    """One set: rows are models, columns metrics, the best model of each column in bold."""
    means, count = board.means()[name], board.sets[name]["images"]
    table = Table(
        title=Text(f"{name}, x{board.protocol.scale}, {count} {'image' if count == 1 else 'images'}"),
        title_justify="left",
    )
    table.add_column("")
    for metric in board.protocol.metrics:
        table.add_column(
            f"{MEASURES[metric].title} {'↑' if MEASURES[metric].higher_is_better else '↓'}", justify="right"
        )
    for model, values in means.items():
        variant = board.models[model].get("variant")
        label = f"{model} ({variant})" if variant else model
        table.add_row(Text(label), *(cell(means, model, metric) for metric in values))
    return table


def cell(means: Mapping[str, Mapping[str, float | None]], model: str, metric: str) -> Text:
    value = means[model][metric]
    if value is None:
        return Text("n/a", style="dim")
    values = [row[metric] for name, row in means.items() if name != BICUBIC]
    known = [other for other in values if other is not None]
    best = (max if MEASURES[metric].higher_is_better else min)(known, default=None)
    is_best = model != BICUBIC and value == best and len(known) > 1
    return Text(f"{value:.{MEASURES[metric].digits}f}", style="bold" if is_best else "")


def print_protocol(board: Scoreboard, out: Path, console: Console) -> None:
    """What the numbers mean, what is missing and why, and where the files are."""
    lines = [f"{name}: {text}" for name, text in board.protocol.facts().items()]
    lines += [f"{MEASURES[name].name} is not measured: {reason}" for name, reason in board.missing.items()]
    lines += [f"{name}: {note}" for name, facts in board.sets.items() for note in facts["notes"]]
    if any(value is None for row in board.images for value in row.values()):
        lines.append("n/a: not measured on this set, or an image is too small for the metric, or equals its original")
    lines.append(f"per image: {out / 'images.csv'}; everything: {out / JSON_NAME}")
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
