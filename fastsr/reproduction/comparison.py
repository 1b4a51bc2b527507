"""Do peers that teach each other do better? Scores of variants against each other, image by image.

What is compared was trained on the same patches and is measured on the same images, so differences are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance
from typing import Any

from scipy.stats import t as student

from fastsr.evaluation.metrics import MEASURES
from fastsr.reproduction.paper import VARIANTS, published

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean over images and its 95 % confidence interval, which one image alone does not give."""

    mean: float
    low: float | None
    high: float | None


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean of a - b, image by image, with Student's interval: images are the sample, not trainings."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2:
        return Difference(fmean(differences), None, None)
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(differences) - 1))
    half = quantile * stdev(differences) / math.sqrt(len(differences))
    return Difference(fmean(differences), fmean(differences) - half, fmean(differences) + half)


class Scores:
    """One metric on one test set: of bicubic, and of every peer of each variant, from one evaluation for each seed."""

    def __init__(self, evaluations: Sequence[dict[str, Any]], test_set: str, metric: str) -> None:
        self.bicubic: list[float | None] = []
        self.peers: dict[str, list[list[float | None]]] = {}
        for evaluation in evaluations:
            for model, facts in evaluation["models"].items():
                values = [
                    row[metric] for row in evaluation["images"] if row["set"] == test_set and row["model"] == model
                ]
                if model == "bicubic":
                    self.bicubic = values
                elif facts["weights"] == "ema":
                    self.peers.setdefault(facts["variant"], []).append(values)

    def peer_means(self, variant: str) -> list[float | None]:
        """Mean over images, of each peer."""
        return [mean_or_none(values) for values in self.peers.get(variant, [])]

    def by_image(self, variant: str) -> list[float] | None:
        """Mean over peers, of each image; None where a value is missing."""
        columns = list(zip(*self.peers.get(variant, []), strict=True))
        if not columns or any(value is None for column in columns for value in column):
            return None
        return [fmean(value for value in column if value is not None) for column in columns]

    def difference(self, variant: str) -> Difference | None:
        """The variant minus Independent."""
        ours, alone = self.by_image(variant), self.by_image("Independent")
        return None if ours is None or alone is None else paired_difference(ours, alone)


def mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def table(evaluations: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """One of the paper's tables, as plain values: evaluations of one scale, one for each seed."""
    scale, sets = evaluations[0]["scale"], evaluations[0]["sets"]
    scores = {name: Scores(evaluations, name, metric) for name in sets}
    return {
        "scale": scale,
        "metric": metric,
        "unit": MEASURES[metric].unit,
        "higher_is_better": MEASURES[metric].higher_is_better,
        "seeds": len(evaluations),
        "rows": [row(scores[name], scale, metric, name, facts["images"]) for name, facts in sets.items()],
        "noise": noise(list(scores.values())),
    }


def row(scores: Scores, scale: int, metric: str, name: str, images: int) -> dict[str, Any]:
    differences = {variant: scores.difference(variant) for variant in VARIANTS[1:]}
    return {
        "set": name,
        "images": images,
        "bicubic": mean_or_none(scores.bicubic),
        "variants": {
            variant: {
                "peers": (peers := scores.peer_means(variant)),
                "mean": mean_or_none(peers),
                "paper": published(scale, metric, name, variant),
            }
            for variant in VARIANTS
        },
        "differences": {variant: d and vars(d) for variant, d in differences.items()},
    }


def noise(scores: Sequence[Scores]) -> float | None:
    """Standard deviation between peers that differ in nothing but their initial weights, pooled over variants and sets.

    What a difference between variants has to be held against: the same training, begun elsewhere.
    """
    variances: list[float] = []
    for one in scores:
        for variant in VARIANTS:
            known = [value for value in one.peer_means(variant) if value is not None]
            if len(known) > 1:
                variances.append(variance(known))
    return math.sqrt(fmean(variances)) if variances else None


def verdict(one: dict[str, Any], variant: str) -> str:
    """A sentence on whether a variant beat Independent, held against its interval and against the noise."""
    known = [(r["set"], r["differences"][variant]) for r in one["rows"] if r["differences"][variant]]
    metric = f"{MEASURES[one['metric']].name} at x{one['scale']}"
    if not known:
        return f"{metric}: nothing can be said of {variant}."
    sign = 1 if one["higher_is_better"] else -1
    average = fmean(d["mean"] for _, d in known)
    better = "better" if sign * average > 0 else "worse"
    clear = [name for name, d in known if d["low"] is not None and d["low"] * d["high"] > 0]
    unit = f" {one['unit']}" if one["unit"] else ""
    text = (
        f"{metric}: {variant} is {better} than Independent by {abs(average):.3f}{unit}, averaged over {len(known)} sets"
    )
    text += f"; the interval over images leaves out zero on {', '.join(clear) or 'none of them'}"
    if one["noise"] is None:
        return text + "."
    peers = min(len(r["variants"]["Independent"]["peers"]) for r in one["rows"])
    chance = 2 * one["noise"] * math.sqrt(2 / peers)
    compared = "beyond" if abs(average) > chance else "within"
    return text + (
        f". Peers that differ in initial weights alone have a standard deviation of {one['noise']:.3f}{unit}, which "
        f"makes differences up to {chance:.3f}{unit} by chance: this one is {compared} that."
    )
