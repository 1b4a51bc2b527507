"""Differences over seeds: a training is the unit, and images only say how well one training's difference is measured.

A seed's difference is that of its pairs' means: the taught peers less the Independent ones, which had the same patches
and initial weights; averaged over the images of each test set, and over the sets, each weighing the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan
from statistics import fmean

import numpy as np

from fastsr.evaluation.results import Evaluation
from fastsr.reproduction.comparison import CONFIDENCE, RESAMPLES, SEED, Scores
from fastsr.reproduction.paper import BASELINE, TAUGHT
from fastsr.reproduction.results import Contrast, SeedDifference, Table
from fastsr.reproduction.student import holm, mean_interval, p_value

PRIMARY = "psnr_rgb"
"""The metric that decides; others are told beside it."""
LEVEL = 0.05
MARGIN = 0.05
"""dB of PSNR: smaller differences do not matter."""


def with_contrasts(table: Table, evaluations: Mapping[str, Evaluation]) -> Table:
    """The table with each taught variant's differences over seeds: evaluations by name of run, one for each seed."""
    compared = next((row.differences for row in table.rows), TAUGHT)
    found = (contrast(evaluations, table.metric, variant) for variant in compared)
    return replace(table, contrasts=tuple(one for one in found if one))


def contrast(evaluations: Mapping[str, Evaluation], metric: str, variant: str) -> Contrast | None:
    """None where a seed lacks the variant, or no test set has a value of every image of every seed."""
    seeds = {
        run: image_differences(evaluation, metric, variant)
        for run, evaluation in evaluations.items()
    }
    sets = [
        name
        for name in next(iter(seeds.values()))
        if all(name in by_set for by_set in seeds.values())
    ]
    if not sets:
        return None
    differences = tuple(
        seed_difference(run, [by_set[name] for name in sets]) for run, by_set in seeds.items()
    )
    values = [one.mean for one in differences]
    low, high = mean_interval(values, CONFIDENCE)
    return Contrast(variant, tuple(sets), differences, fmean(values), low, high, p_value(values))


def image_differences(evaluation: Evaluation, metric: str, variant: str) -> dict[str, list[float]]:
    """Of each image of each completely measured set: mean of the variant's peers less mean of the Independent ones."""
    found: dict[str, list[float]] = {}
    for one in evaluation.sets:
        scores = Scores([evaluation], one.name, metric)
        pairs = zip(scores.by_image(variant), scores.by_image(BASELINE), strict=False)
        differences = [ours - alone for ours, alone in pairs]
        if differences and all(map(isfinite, differences)):
            found[one.name] = differences
    return found


def seed_difference(run: str, by_set: Sequence[Sequence[float]]) -> SeedDifference:
    """The mean over sets of means over images, and its bootstrap interval: images are drawn within their set."""
    random, means = np.random.default_rng(SEED), np.zeros(RESAMPLES)
    for values in by_set:
        picks = random.integers(len(values), size=(RESAMPLES, len(values)))
        means += np.asarray(values)[picks].mean(axis=1) / len(by_set)
    low, high = np.quantile(means, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return SeedDifference(run, fmean(map(fmean, by_set)), float(low), float(high))


def decided(tables: Sequence[Table], level: float = LEVEL) -> tuple[Table, ...]:
    """The tables with the p-values of the primary metric corrected together by Holm's method, and what they decide."""
    tested = [
        one
        for table in tables
        if table.metric == PRIMARY
        for one in table.contrasts
        if one.variant in TAUGHT and isfinite(one.p)
    ]
    corrected = dict(zip(map(id, tested), holm([one.p for one in tested]), strict=True))

    def settled(one: Contrast, higher_is_better: bool) -> Contrast:
        if one.variant not in TAUGHT:  # a control, which is told beside
            return one
        p = corrected.get(id(one), nan)
        return replace(
            one,
            corrected_p=p,
            tests=len(tested),
            level=level,
            outcome=outcome(one, p, level, higher_is_better),
        )

    return tuple(
        replace(
            table, contrasts=tuple(settled(one, table.higher_is_better) for one in table.contrasts)
        )
        if table.metric == PRIMARY
        else table
        for table in tables
    )


def outcome(one: Contrast, corrected_p: float, level: float, higher_is_better: bool) -> str:
    """better, worse, undecided, or equal: not significant, and the interval lies within the margin."""
    if corrected_p <= level:
        return "better" if (one.mean > 0) == higher_is_better else "worse"
    return "equal" if one.low > -MARGIN and one.high < MARGIN else "undecided"
