"""Several runs beside each other: how far each is, its scores, and the settings in which they differ."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean

from markupsafe import Markup

from fastsr.console import counted
from fastsr.evaluation.metrics import MEASURES
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import ScoredSet
from fastsr.report.comparisons import shown_models
from fastsr.report.curves import score
from fastsr.report.html import missing, number, render
from fastsr.report.lines import known_mean
from fastsr.report.overlay import losses, validation
from fastsr.report.runs import Run
from fastsr.report.settings import sections
from fastsr.report.tables import ScoreRow, Values, score_tables

OWN = ("out", "tensorboard")
"""Settings that say where a run is, not what it does."""


def across(runs: Sequence[Run], points: int) -> Markup:
    """Two runs or more, which the page shows one by one as run-0, run-1 and so on."""
    return render(
        "across.html",
        rows=[overview_row(run, f"run-{index}") for index, run in enumerate(runs)],
        sections=[
            ("Results", results(runs)),
            ("Validation", validation(runs, points)),
            ("Losses", losses(runs, points)),
            ("Settings that differ", differing_settings(runs)),
        ],
    )


def overview_row(run: Run, link: str) -> tuple[str, str, list[str]]:
    """A run's name, its place in the page, and how far it is."""
    stage = "training" if isfinite(run.speed("training")) else "pretraining"
    speed = run.speed(stage)
    config = run.config
    cells = [
        f"x{config.model.scale}",
        f"{len(run.peers)} ({', '.join(dict.fromkeys(peer.variant for peer in run.peers))})",
        f"{run.last_step:,} of {config.total_steps:,}",
        f"{speed:.3g}" if isfinite(speed) else "",
        number("psnr", last_validation(run, "psnr")),
        number("ssim", last_validation(run, "ssim")),
    ]
    return run.name, link, cells


def last_validation(run: Run, metric: str) -> float:
    """Mean over peers; NaN for a run without validation."""
    rows = run.validation[-1:]
    return known_mean([score(row, peer, metric) for row in rows for peer in run.peers])


def results(runs: Sequence[Run]) -> Markup:
    """One table per scale: numbers of different scales do not compare."""
    scales = sorted({run.evaluation.scale for run in runs if run.evaluation})
    tables = [results_at(scale, runs) for scale in scales]
    absent = [run.name for run in runs if not run.evaluation]
    if absent:
        tables.append(missing(f"Not evaluated on whole test images yet: {', '.join(absent)}."))
    return Markup().join(tables)


def results_at(scale: int, runs: Sequence[Run]) -> Markup:
    """Bicubic, then each variant of each run: means over its peers with averaged weights."""
    places = {
        f"run-{index}": run
        for index, run in enumerate(runs)
        if run.evaluation and run.evaluation.scale == scale
    }
    sets = shared_sets(list(places.values()))
    rows = [row for link, run in places.items() for row in run_rows(run, link, sets)]
    found = {metric for row in rows for (_, metric), value in row.values.items() if isfinite(value)}
    known = [metric for metric in MEASURES if metric in found]
    return score_tables(
        f"Means over the images of {{}}, x{scale}, and over the peers of each line",
        ("run", "peers", "step"),
        list(sets.values()),
        [*known, *sorted(found - set(known))],
        [bicubic_row(list(places.values()), sets), *rows],
    )


Sets = dict[tuple[str, int], ScoredSet]


def shared_sets(runs: Sequence[Run]) -> Sets:
    """Every test set of any run, by name and number of images: a part of a set is another set."""
    found: Sets = {}
    for run in runs:
        for one in run.evaluation.sets if run.evaluation else ():
            found.setdefault((one.name, one.images), one)
    return found


def run_rows(run: Run, link: str, sets: Sets) -> list[ScoreRow]:
    assert run.evaluation
    models = [model for model in shown_models(run.evaluation) if model.name != BICUBIC]
    step = "" if run.evaluation.step is None else f"{run.evaluation.step:,}"
    rows: list[ScoreRow] = []
    for variant in dict.fromkeys(model.variant for model in models):
        names = [model.name for model in models if model.variant == variant]
        about = ", ".join(filter(None, (variant, counted(len(names), "peer"))))
        rows.append(ScoreRow(run.name, (about, step), mean_values(run, names, sets), link=link))
    return rows


def mean_values(run: Run, models: Sequence[str], sets: Sets) -> Values:
    """By set and metric, over models; NaN where one of them has no value."""
    evaluation = run.evaluation
    assert evaluation
    return {
        (sets[one.name, one.images], metric): fmean(
            evaluation.mean(one.name, model, metric) for model in models
        )
        for one in evaluation.sets
        for metric in evaluation.metrics
    }


def bicubic_row(runs: Sequence[Run], sets: Sets) -> ScoreRow:
    """Of the first run that has it, set by set: it is the same for all."""
    values: Values = {}
    for run in reversed(runs):
        found = mean_values(run, [BICUBIC], sets)
        values |= {place: value for place, value in found.items() if isfinite(value)}
    return ScoreRow(BICUBIC, ("–", "–"), values, "reference-row")


def differing_settings(runs: Sequence[Run]) -> Markup:
    """A column for each run; without those that say where a run is."""
    tables = [setting_texts(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = {name: [table.get(name, "") for table in tables] for name in names}
    rows = {name: texts for name, texts in rows.items() if len(set(texts)) > 1}
    if not rows:
        return missing("No setting differs but the folders of the runs.")
    return render("differing.html", names=[run.name for run in runs], rows=rows)


def setting_texts(run: Run) -> dict[str, str]:
    found = {"recipe": run.config.recipe}
    for section, group in sections(run.config).items():
        found |= {f"{section}.{one.name}": one.value for one in group if one.name not in OWN}
    return found
