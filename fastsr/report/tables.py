"""Tables: an evaluation's means, and a reproduction's numbers beside the paper's."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, nan

from markupsafe import Markup

from fastsr.console import listed
from fastsr.evaluation.metrics import better_direction, metric_name
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import Evaluation, ScoredModel, ScoredSet
from fastsr.report.html import grid, number, render
from fastsr.report.intervals import interval_chart
from fastsr.reproduction.comparison import verdict
from fastsr.reproduction.intervals import Difference
from fastsr.reproduction.paper import BASELINE
from fastsr.reproduction.results import Row, Table, Variant

MOST_COLUMNS = 10
"""Of scores in one table: as many as a screen of 1280 pixels has room for."""
SPACE = "\u00a0"
STYLES = {"ML": 1, "ML*": 2}
WEIGHTS = {"ema": "EMA", "": "–"}


Values = dict[tuple[ScoredSet, str], float]
"""By test set and metric."""


@dataclass(frozen=True)
class ScoreRow:
    """One line of a table of scores: its name, cells that describe it, and its values."""

    name: str
    about: Sequence[str]
    values: Values
    kind: str = ""
    """A class of the style sheet."""
    link: str = ""
    """A place in the page."""


def score_tables(
    caption: str,
    heads: Sequence[str],
    sets: Sequence[ScoredSet],
    metrics: Sequence[str],
    rows: Sequence[ScoreRow],
) -> Markup:
    """As many test sets side by side as have room, evenly spread; the best of each column is marked."""
    tables = ceil(len(sets) / max(1, MOST_COLUMNS // max(1, len(metrics))))
    each = ceil(len(sets) / max(1, tables))
    return render(
        "scores.html",
        caption=caption,
        heads=heads,
        groups=[
            (group, [row for row in rows if scored_on(row, group)])
            for k in range(0, len(sets), max(1, each))
            if (group := sets[k : k + each])
        ],
        metrics=metrics,
        nan=nan,
        best={(one, metric): best_value(rows, one, metric) for one in sets for metric in metrics},
    )


def scored_on(row: ScoreRow, sets: Sequence[ScoredSet]) -> bool:
    """True for a row with any number on these sets."""
    return any(isfinite(value) for (one, _), value in row.values.items() if one in sets)


def best_value(rows: Sequence[ScoreRow], test_set: ScoredSet, metric: str) -> str:
    """The best of a column as it is printed, so that equal looks are marked alike; empty where it is not known."""
    better = better_direction(metric)
    values = [row.values.get((test_set, metric), nan) for row in rows]
    return "" if better is None else best_text(metric, values, better)


def evaluation_tables(evaluation: Evaluation) -> Markup:
    """One row per model."""
    models = ordered(evaluation.models)
    return render(
        "evaluation.html",
        scores=score_tables(
            f"Means over the images of {{}}, x{evaluation.scale}",
            ("model", "weights"),
            evaluation.sets,
            evaluation.metrics,
            [model_row(evaluation, model) for model in models],
        ),
        evaluation=evaluation,
        raw=any(model.weights == "raw" for model in models),
        remarks=[f"{one.name}: {note}" for one in evaluation.sets for note in one.notes],
    )


def model_row(evaluation: Evaluation, model: ScoredModel) -> ScoreRow:
    values = {
        (one, metric): evaluation.mean(one.name, model.name, metric)
        for one in evaluation.sets
        for metric in evaluation.metrics
    }
    weights = WEIGHTS.get(model.weights, model.weights)
    kind = "reference-row" if model.name == BICUBIC else model.weights
    return ScoreRow(model.label, (weights,), values, kind)


def ordered(models: Sequence[ScoredModel]) -> list[ScoredModel]:
    """Bicubic first, then averaged (EMA) weights, then the others."""
    rank = {"": 0, "ema": 1}
    return sorted(
        models,
        key=lambda model: -1 if model.name == BICUBIC else rank.get(model.weights, len(rank)),
    )


def best_text(metric: str, values: Sequence[float], higher_is_better: bool) -> str:
    known = [value for value in values if isfinite(value)]
    return number(metric, (max if higher_is_better else min)(known, default=nan))


def reproduction_table(table: Table) -> Markup:
    """Our numbers beside the paper's, the differences to Independent, and what they show in words and as a chart."""
    variants = variants_of(table)
    compared = [name for name in variants if name != BASELINE]
    return render(
        "table.html",
        table=table,
        title=table_title(table),
        baseline=BASELINE,
        variants=variants,
        published={name for name in variants if has_paper(table, name)},
        compared=[name for name in compared if has_difference(table, name)],
        no_variant=NO_VARIANT,
        no_difference=Difference(),
        verdicts=[str(verdict(table, name)) for name in compared],
        best=lambda row: best_of_row(table, row),
        peers=lambda variant: peers_text(table.metric, variant),
        rows=[row for row in table.rows if row.has_numbers],
        chart=differences_chart(table, compared),
    )


def peers_text(metric: str, variant: Variant) -> str:
    """The numbers behind a variant's mean; empty where that is the only one."""
    if len(variant.peers) < 2 or not isfinite(variant.mean):
        return ""
    return variant.peers_in_words(lambda value: number(metric, value) or "–", ", ")


NO_VARIANT = Variant((), nan, nan)


def variants_of(table: Table) -> list[str]:
    """Those with any number, in the order of the rows, Independent first."""
    found = [
        name
        for row in table.rows
        for name, one in row.variants.items()
        if one.peers or isfinite(one.paper)
    ]
    return sorted(dict.fromkeys(found), key=lambda name: name != BASELINE)


def has_paper(table: Table, name: str) -> bool:
    return any(isfinite(row.variants.get(name, NO_VARIANT).paper) for row in table.rows)


def has_difference(table: Table, name: str) -> bool:
    return any(isfinite(row.differences.get(name, Difference()).mean) for row in table.rows)


def table_title(table: Table) -> str:
    return metric_name(table.metric) + (f" ({table.unit})" if table.unit else "")


def best_of_row(table: Table, row: Row) -> str:
    """The best of bicubic and our variants, as it is printed."""
    ours = [row.bicubic, *(variant.mean for variant in row.variants.values())]
    return best_text(table.metric, ours, table.higher_is_better)


def differences_chart(table: Table, compared: Sequence[str]) -> Markup:
    """Differences from Independent with their intervals, by test set; empty where none is known."""
    rows = [
        (f"{row.test_set}, {name}", d.mean, d.low, d.high, STYLES.get(name, 3))
        for row in table.rows
        for name in compared
        if isfinite((d := row.differences.get(name, Difference())).mean)
    ]
    if not rows:
        return Markup()
    title = f"{listed(list(compared))} minus {BASELINE}, x{table.scale}"
    better = "right" if table.higher_is_better else "left"
    label = f"difference in {table_title(table)}; {better} of 0 is better"
    return grid([interval_chart(title, label, rows)])
