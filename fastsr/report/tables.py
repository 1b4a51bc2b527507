"""Tables: an evaluation's means, and a reproduction's numbers beside the paper's."""

from collections.abc import Sequence
from math import isfinite, nan

from markupsafe import Markup

from fastsr.console import listed
from fastsr.evaluation.metrics import better_direction, metric_name
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import Evaluation, ScoredModel
from fastsr.report.html import grid, number, render
from fastsr.report.intervals import interval_chart
from fastsr.reproduction.comparison import verdict
from fastsr.reproduction.paper import BASELINE
from fastsr.reproduction.results import Difference, Row, Table, Variant

MOST_COLUMNS = 12
SPACE = "\u00a0"
STYLES = {"ML": 1, "ML*": 2}


def evaluation_tables(evaluation: Evaluation) -> Markup:
    """One row per model; as many test sets side by side as stay readable."""
    each = max(1, MOST_COLUMNS // max(1, len(evaluation.metrics)))
    sets, models = evaluation.sets, ordered(evaluation.models)
    return render(
        "evaluation.html",
        evaluation=evaluation,
        groups=[sets[k : k + each] for k in range(0, len(sets), each)],
        models=models,
        best=lambda test_set, metric: best_mean(evaluation, test_set, metric),
        bicubic=BICUBIC,
        raw=any(model.weights == "raw" for model in models),
        remarks=[f"{one.name}: {note}" for one in sets for note in one.notes],
    )


def ordered(models: Sequence[ScoredModel]) -> list[ScoredModel]:
    """Bicubic first, then averaged (EMA) weights, then the others."""
    rank = {"": 0, "ema": 1}
    return sorted(
        models,
        key=lambda model: -1 if model.name == BICUBIC else rank.get(model.weights, len(rank)),
    )


def best_mean(evaluation: Evaluation, test_set: str, metric: str) -> str:
    """The best of a column as it is printed, so that equal looks are marked alike; empty where it is not known."""
    better = better_direction(metric)
    means = [evaluation.mean(test_set, model.name, metric) for model in evaluation.models]
    return "" if better is None else best_text(metric, means, better)


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
        compared=compared,
        no_variant=Variant((), nan, nan),
        no_difference=Difference(),
        verdicts=[str(verdict(table, name)) for name in compared],
        best=lambda row: best_variant(table, row),
        chart=differences_chart(table, compared),
    )


def variants_of(table: Table) -> list[str]:
    """In the order of the rows, Independent first."""
    names = dict.fromkeys(name for row in table.rows for name in row.variants)
    return sorted(names, key=lambda name: name != BASELINE)


def table_title(table: Table) -> str:
    return metric_name(table.metric) + (f" ({table.unit})" if table.unit else "")


def best_variant(table: Table, row: Row) -> str:
    return best_text(
        table.metric, [variant.mean for variant in row.variants.values()], table.higher_is_better
    )


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
    title = f"{listed(compared)} minus {BASELINE}, x{table.scale}"
    better = "right" if table.higher_is_better else "left"
    label = f"{table_title(table)}, 95{SPACE}% interval; {better} of 0 is better"
    return grid([interval_chart(title, label, rows)])
