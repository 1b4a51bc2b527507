"""The tables of an evaluation, as a terminal shows them."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastsr.evaluation.metrics import MEASURES
from fastsr.evaluation.output import JSON_NAME
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import Scoreboard


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
