"""The tables of an evaluation, as a terminal shows them."""

from math import isfinite, isnan
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fastsr.console import counted, is_live
from fastsr.evaluation.metrics import MEASURES
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import JSON_NAME, Evaluation, ScoredSet


def score_table(evaluation: Evaluation, scored: ScoredSet) -> Table:
    """One set: rows are models, columns metrics, the best model of each column in bold."""
    count = counted(scored.images, "image")
    table = Table(title=Text(f"{scored.name}, x{evaluation.scale}, {count}"), title_justify="left")
    table.add_column("")
    for metric in evaluation.metrics:
        arrow = "↑" if MEASURES[metric].higher_is_better else "↓"
        table.add_column(f"{MEASURES[metric].title} {arrow}", justify="right")
    for model in evaluation.models:
        cells = (cell(evaluation, scored.name, model.name, metric) for metric in evaluation.metrics)
        table.add_row(Text(model.label), *cells)
    return table


def cell(evaluation: Evaluation, test_set: str, model: str, metric: str) -> Text:
    """A mean with the digits of its metric, n/a where there is none; bold if the best of several models."""
    value = evaluation.mean(test_set, model, metric)
    if isnan(value):
        return Text("n/a", style="dim")
    values = [
        evaluation.mean(test_set, other.name, metric)
        for other in evaluation.models
        if other.name != BICUBIC
    ]
    known = [other for other in values if isfinite(other)]
    best = (max if MEASURES[metric].higher_is_better else min)(known, default=None)
    is_best = model != BICUBIC and value == best and len(known) > 1
    return Text(f"{value:.{MEASURES[metric].digits}f}", style="bold" if is_best else "")


def print_protocol(evaluation: Evaluation, out: Path, console: Console) -> None:
    """Prints the meaning of the numbers, the reasons for what is missing, and the paths of the files."""
    lines = [f"{name}: {text}" for name, text in evaluation.protocol.items()]
    lines += [
        f"{MEASURES[name].name} is not measured: {reason}"
        for name, reason in evaluation.missing.items()
    ]
    lines += [f"{scored.name}: {note}" for scored in evaluation.sets for note in scored.notes]
    if any(isnan(value) for row in evaluation.images for value in row.values.values()):
        lines.append(
            "n/a: not measured on this set, or an image is too small for the metric, or equals its original"
        )
    lines.append(f"per image: {out / 'images.csv'}; everything: {out / JSON_NAME}")
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def progress(console: Console) -> Progress:
    """One bar, on a terminal, over all images by all methods."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not is_live(console), transient=True)
