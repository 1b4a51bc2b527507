"""Do peers that teach each other do better? Scores of variants against each other, image by image.

What is compared was trained on the same patches and is measured on the same images, so differences are paired.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean, variance
from typing import Literal

import numpy as np

from fastsr.console import listed
from fastsr.evaluation.metrics import MEASURES, metric_name, metric_text
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import Evaluation, mean
from fastsr.reproduction.intervals import Difference
from fastsr.reproduction.paper import BASELINE, TAUGHT, VARIANTS, published
from fastsr.reproduction.results import Contrast, Row, Table, Variant

Outcome = Literal["better", "worse", "within", "open"]
CONFIDENCE = 0.95
RESAMPLES, SEED = 10_000, 0
"""Of the bootstrap: the same seed for every interval, so that equal scores give equal intervals."""
SMALL = 1e-4
"""Probabilities below are told as that, not as a power of ten."""


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
            scored = next(one for one in evaluation.sets if one.name == test_set)
            for model in evaluation.models:
                values = evaluation.values(scored, model.name, metric)
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
        rows=tuple(
            row(scores[one.name], scale, metric, one.name, len(one.measured(metric)))
            for one in sets
        ),
        seeds=len(evaluations),
        noise=noise([Scores([each], one.name, metric) for each in evaluations for one in sets]),
    )


def row(scores: Scores, scale: int, metric: str, test_set: str, images: int) -> Row:
    variants: dict[str, Variant] = {}
    controls = [name for name in scores.peers if name not in VARIANTS]
    for name in (*VARIANTS, *controls):
        peers = scores.peer_means(name)
        variants[name] = Variant(peers, mean(peers), published(scale, metric, test_set, name))
    differences = {name: scores.difference(name) for name in (*TAUGHT, *controls)}
    return Row(test_set, images, mean(scores.bicubic), variants, differences)


def noise(scores: Sequence[Scores]) -> float:
    """Standard deviation between peers that differ in nothing but their initial weights, pooled over variants and sets.

    What a difference between variants has to be held against: the same training, begun elsewhere. NaN where no variant
    has two peers.

    Args:
        scores: each of one seed, as peers of two have seen other patches, too.
    """
    variances: list[float] = []
    for one in scores:
        for name in VARIANTS:
            known = [value for value in one.peer_means(name) if isfinite(value)]
            if len(known) > 1:
                variances.append(variance(known))
    return math.sqrt(fmean(variances)) if variances else nan


@dataclass(frozen=True)
class Verdict:
    """A judgement of a variant against Independent, and in sentences the numbers that it rests on."""

    outcome: str
    """better, worse, equal or undecided; empty for metrics that decide nothing."""
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.sentences)


def verdict(table: Table, variant: str) -> Verdict:
    """The judgement of a variant against Independent by one metric at one scale.

    Decided over seeds, where there are several, as `seeds.decided` has it. One training decides nothing, whatever the
    intervals over its images.
    """
    over_seeds = next(
        (one for one in table.contrasts if one.variant == variant and len(one.seeds) > 1), None
    )
    if over_seeds:
        return Verdict(over_seeds.outcome, tuple(seed_sentences(table, over_seeds)))
    title = f"{metric_name(table.metric)} at x{table.scale}"
    differences = {row.test_set: row.differences.get(variant, Difference()) for row in table.rows}
    known = [one.mean for one in differences.values() if isfinite(one.mean)]
    if not known:
        return Verdict("undecided", (f"{title}: nothing can be said of {variant}.",))
    outcomes: dict[str, Outcome] = {
        name: outcome(one, table.higher_is_better) for name, one in differences.items()
    }
    average, chance = fmean(known), by_chance(table, variant)
    side = "better" if (average > 0) == table.higher_is_better else "worse"
    size = f"{with_unit(table, abs(average))}, averaged over {counted(known)}"
    lead = f"{title}: whether {variant} is better than {BASELINE} is undecided by one seed; it is {side} by {size}."
    sentences = (
        lead,
        chance_sentence(table, abs(average), chance),
        *set_sentences(outcomes, variant),
    )
    return Verdict("undecided", sentences)


def seed_sentences(table: Table, one: Contrast) -> Iterator[str]:
    """Sentences on what several seeds say, in words and numbers."""
    title = f"{metric_name(table.metric)} at x{table.scale}"
    side = "better" if (one.mean > 0) == table.higher_is_better else "worse"
    over = f"averaged over {counted(one.sets)} and {len(one.seeds)} seeds"
    by = f"by {with_unit(table, abs(one.mean))}, {over}"
    leads = {
        "equal": f"{title}: {one.variant} and {BASELINE} do not differ by anything that matters; it is {side} {by}.",
        "undecided": f"{title}: whether {one.variant} is better than {BASELINE} is undecided; it is {side} {by}.",
        "": f"{title}: {one.variant} minus {BASELINE} is {signed(table, one.mean)}, {over}.",
    }
    yield leads.get(one.outcome, f"{title}: {one.variant} is {side} than {BASELINE} {by}.")
    low, high = metric_text(table.metric, one.low, sign=True), signed(table, one.high)
    p = f"p {'' if one.p < SMALL else '= '}{small_text(one.p)}"
    yield f"The 95 % interval over seeds is {low} to {high} (Student's t; {p})."
    same = sum((seed.mean > 0) == (one.mean > 0) for seed in one.seeds)
    yield f"{same} of {len(one.seeds)} seeds are on that side."
    if one.outcome:
        yield f"Corrected for {one.tests} tests (Holm) p is {small_text(one.corrected_p)}; the level is {one.level:g}."
    else:
        yield "This metric is told beside the one that decides: its p is not corrected."


def outcome(difference: Difference, higher_is_better: bool) -> Outcome:
    """Of one set: within where zero lies in the interval, open where there is no interval."""
    if not (isfinite(difference.low) and isfinite(difference.high)):
        return "open"
    if difference.low <= 0 <= difference.high:
        return "within"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def by_chance(table: Table, variant: str) -> float:
    """Twice the standard deviation of a difference between means of peers; NaN where the noise is not known."""
    groups = [row.variants.get(name) for row in table.rows for name in (BASELINE, variant)]
    fewest = min(len(group.peers) if group else 0 for group in groups)
    return 2 * table.noise * math.sqrt(2 / fewest) if fewest else nan


def set_sentences(outcomes: Mapping[str, Outcome], variant: str) -> Iterator[str]:
    """Sentences on what the intervals over images show, set by set."""
    words: dict[Outcome, str] = {
        "better": f"{variant} beat {BASELINE} on {{}}.",
        "worse": f"{variant} fell short of {BASELINE} on {{}}.",
        "within": "On {} the 95 % interval holds zero: no difference is shown.",
        "open": "On {} no interval can be given.",
    }
    if "better" not in outcomes.values():
        yield f"{variant} beat {BASELINE} on no test set."
    for kind, sentence in words.items():
        names = [name for name, found in outcomes.items() if found == kind]
        if names:
            yield sentence.format(listed(names))


def chance_sentence(table: Table, size: float, chance: float) -> str:
    """A sentence comparing the mean over sets with the spread of peers that begin differently and are not taught."""
    if not isfinite(chance):
        return "How far initial weights alone move the numbers is not known: it takes two peers of one variant to tell."
    spread = with_unit(table, table.noise)
    return (
        f"Peers that differ in their initial weights alone have a standard deviation of {spread}, "
        f"which makes differences up to {with_unit(table, chance)} by chance: this one is "
        f"{'beyond' if size > chance else 'within'} that."
    )


def with_unit(table: Table, value: float) -> str:
    return metric_text(table.metric, value) + (f" {table.unit}" if table.unit else "")


def small_text(p: float) -> str:
    """A probability in two digits, without an exponent."""
    return f"below {SMALL:.4f}" if p < SMALL else f"{p:.2g}"


def signed(table: Table, value: float) -> str:
    return metric_text(table.metric, value, sign=True) + (f" {table.unit}" if table.unit else "")


def counted(sets: Sequence[object]) -> str:
    return f"{len(sets)} {'set' if len(sets) == 1 else 'sets'}"
