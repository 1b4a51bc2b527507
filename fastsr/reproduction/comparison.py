"""Do peers that teach each other do better? Scores of variants against each other, image by image.

What is compared was trained on the same patches and is measured on the same images, so differences are paired.
"""

import math
from collections.abc import Sequence
from math import isfinite, nan
from statistics import fmean, variance

import numpy as np

from fastsr.evaluation.metrics import MEASURES
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import Evaluation, mean
from fastsr.reproduction.paper import BASELINE, TAUGHT, VARIANTS, published
from fastsr.reproduction.results import Difference, Row, Table, Variant

CONFIDENCE = 0.95
RESAMPLES, SEED = 10_000, 0
"""Of the bootstrap: the same seed for every interval, so that equal scores give equal intervals."""


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean of a - b, image by image, with its interval over images: they are the sample, not trainings."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if not differences or not all(map(isfinite, differences)):
        return Difference()
    interval = bootstrap_interval(differences) if len(differences) > 1 else (nan, nan)
    return Difference(fmean(differences), *interval)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of a mean: between quantiles of the means of resamples with replacement.

    Deterministic. Narrower than it ought to be for a handful of values, as Set5 has. Source: Efron, "Bootstrap methods:
    another look at the jackknife", Annals of Statistics 1979.
    """
    picks = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values, dtype=np.float64)[picks].mean(axis=1)
    low, high = np.quantile(means, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)


class Scores:
    """One metric on one test set: of bicubic, and of every peer of each variant, from one evaluation for each seed."""

    def __init__(self, evaluations: Sequence[Evaluation], test_set: str, metric: str) -> None:
        self.bicubic: list[float] = []
        self.peers: dict[str, list[list[float]]] = {}
        for evaluation in evaluations:
            rows = [row for row in evaluation.images if row.test_set == test_set]
            for model in evaluation.models:
                values = [row.values[metric] for row in rows if row.model == model.name]
                if model.name == BICUBIC:
                    self.bicubic = values
                elif model.weights == "ema":
                    self.peers.setdefault(model.variant, []).append(values)

    def peer_means(self, variant: str) -> tuple[float, ...]:
        """Mean over images, of each peer; NaN where an image has no value."""
        return tuple(mean(values) for values in self.peers.get(variant, []))

    def by_image(self, variant: str) -> list[float]:
        """Mean over peers, of each image; empty where no peer is of that variant."""
        return [fmean(column) for column in zip(*self.peers.get(variant, []), strict=True)]

    def difference(self, variant: str) -> Difference:
        """The variant minus Independent."""
        ours, alone = self.by_image(variant), self.by_image(BASELINE)
        return paired_difference(ours, alone) if ours and alone else Difference()


def table(evaluations: Sequence[Evaluation], metric: str) -> Table:
    """One of the paper's tables, from evaluations of one scale, one for each seed."""
    scale, sets = evaluations[0].scale, evaluations[0].sets
    scores = {one.name: Scores(evaluations, one.name, metric) for one in sets}
    return Table(
        scale=scale,
        metric=metric,
        unit=MEASURES[metric].unit,
        higher_is_better=MEASURES[metric].higher_is_better,
        rows=tuple(row(scores[one.name], scale, metric, one.name, one.images) for one in sets),
        seeds=len(evaluations),
        noise=noise(list(scores.values())),
    )


def row(scores: Scores, scale: int, metric: str, test_set: str, images: int) -> Row:
    variants: dict[str, Variant] = {}
    for name in VARIANTS:
        peers = scores.peer_means(name)
        variants[name] = Variant(peers, mean(peers), published(scale, metric, test_set, name))
    differences = {name: scores.difference(name) for name in TAUGHT}
    return Row(test_set, images, mean(scores.bicubic), variants, differences)


def noise(scores: Sequence[Scores]) -> float:
    """Standard deviation between peers that differ in nothing but their initial weights, pooled over variants and sets.

    What a difference between variants has to be held against: the same training, begun elsewhere. NaN where no variant
    has two peers.
    """
    variances: list[float] = []
    for one in scores:
        for name in VARIANTS:
            known = [value for value in one.peer_means(name) if isfinite(value)]
            if len(known) > 1:
                variances.append(variance(known))
    return math.sqrt(fmean(variances)) if variances else nan


def verdict(one: Table, variant: str) -> str:
    """A sentence on whether a variant beat Independent, held against its interval and against the noise."""
    known = [(r.test_set, r.differences[variant]) for r in one.rows if isfinite(r.differences[variant].mean)]
    metric = f"{one.metric.upper()} at x{one.scale}"
    if not known:
        return f"{metric}: nothing can be said of {variant}."
    sign = 1 if one.higher_is_better else -1
    average = fmean(d.mean for _, d in known)
    better = "better" if sign * average > 0 else "worse"
    clear = [name for name, d in known if d.low * d.high > 0]
    unit = f" {one.unit}" if one.unit else ""
    text = (
        f"{metric}: {variant} is {better} than Independent by {abs(average):.3f}{unit}, averaged over {len(known)} sets"
    )
    text += f"; the interval over images leaves out zero on {', '.join(clear) or 'none of them'}"
    if not isfinite(one.noise):
        return text + "."
    peers = min(len(r.variants["Independent"].peers) for r in one.rows)
    chance = 2 * one.noise * math.sqrt(2 / peers)
    compared = "beyond" if abs(average) > chance else "within"
    return text + (
        f". Peers that differ in initial weights alone have a standard deviation of {one.noise:.3f}{unit}, which "
        f"makes differences up to {chance:.3f}{unit} by chance: this one is {compared} that."
    )
