"""The paper's mechanism as measured: what the discriminators of each variant say, at the end of training.

Of each seed the mean over a variant's peers, and over seeds the mean with its interval. Torch-free, as results are.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from math import nan
from statistics import fmean
from typing import Any

from fastsr.evaluation.results import number
from fastsr.reproduction.intervals import Difference, difference_from_json, difference_to_json
from fastsr.reproduction.paper import BASELINE
from fastsr.reproduction.student import mean_interval

STEPS = 200
"""Of training, the last ones, which are looked at."""
CONFIDENCE = 0.95
CALIBRATION, DISAGREEMENT = "calibration_error", "disagreement"
QUANTITIES = {
    "bce_real": "BCE on real images (nats)",
    "bce_fake": "BCE on generated images (nats)",
    "d_prob_real": "probability of real images",
    "d_prob_fake": "probability of generated images",
    CALIBRATION: "calibration error",
    DISAGREEMENT: "disagreement of the pair (nats)",
}
OF_OTHER_LOSSES = {
    "bce_real": "loss of D on real images",
    "bce_fake": "loss of D on generated images",
    "d_prob_real": "sigmoid of the logits of real images",
    "d_prob_fake": "sigmoid of the logits of generated images",
}
"""What quantities are called where D does not learn by binary cross entropy."""
Row = dict[str, Any]
"""Of metrics.jsonl."""
Values = dict[str, dict[str, float]]
"""By quantity, then by variant."""


@dataclass(frozen=True)
class Opinion:
    """One quantity of each variant over seeds, and its difference to Independent, seed by seed."""

    quantity: str
    values: Mapping[str, Difference]
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Mechanism:
    """Opinions of the discriminators at one scale."""

    scale: int
    seeds: int
    opinions: tuple[Opinion, ...]
    adversarial: str = "vanilla"
    """The loss that discriminators learn by, as --adversarial names it."""

    def name(self, quantity: str) -> str:
        """What a quantity is called in tables."""
        other = {} if self.adversarial == "vanilla" else OF_OTHER_LOSSES
        return other.get(quantity, QUANTITIES[quantity])

    def to_json(self) -> dict[str, Any]:
        opinions = [
            {
                "quantity": one.quantity,
                "values": {k: difference_to_json(v) for k, v in one.values.items()},
                "differences": {k: difference_to_json(v) for k, v in one.differences.items()},
            }
            for one in self.opinions
        ]
        head = {"scale": self.scale, "seeds": self.seeds, "steps": STEPS, "opinions": opinions}
        # The paper's loss goes without saying, as in files of before.
        return head if self.adversarial == "vanilla" else {**head, "adversarial": self.adversarial}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Mechanism":
        opinions = tuple(
            Opinion(
                str(one["quantity"]),
                {str(k): difference_from_json(v) for k, v in one["values"].items()},
                {str(k): difference_from_json(v) for k, v in one["differences"].items()},
            )
            for one in content["opinions"]
        )
        adversarial = str(content.get("adversarial", "vanilla"))
        return Mechanism(int(content["scale"]), int(content["seeds"]), opinions, adversarial)


def mechanism(scale: int, seeds: Sequence[Values], adversarial: str = "vanilla") -> Mechanism:
    """Over seeds, of what `seed_values` found in each."""
    opinions = tuple(opinion(name, seeds) for name in QUANTITIES)
    return Mechanism(scale, len(seeds), opinions, adversarial)


def opinion(quantity: str, seeds: Sequence[Values]) -> Opinion:
    variants = list(seeds[0][quantity]) if seeds else []
    by_variant = {name: [one[quantity].get(name, nan) for one in seeds] for name in variants}
    alone = by_variant.get(BASELINE, [])
    differences = {
        name: over_seeds([a - b for a, b in zip(values, alone, strict=True)])
        for name, values in by_variant.items()
        if name != BASELINE and alone
    }
    return Opinion(quantity, {k: over_seeds(v) for k, v in by_variant.items()}, differences)


def over_seeds(values: Sequence[float]) -> Difference:
    return Difference(fmean(values), *mean_interval(values, CONFIDENCE))


def seed_values(rows: Iterable[Row], variants: Sequence[str]) -> Values:
    """Values in one run's rows, by quantity and variant; NaN where there are none.

    Args:
        variants: the name of each peer's.
    """
    rows = late(rows)
    peers = {name: [k for k, own in enumerate(variants) if own == name] for name in variants}
    found: Values = {
        quantity: {name: fmean(term(rows, quantity, k) for k in ks) for name, ks in peers.items()}
        for quantity in QUANTITIES
        if quantity not in (CALIBRATION, DISAGREEMENT)
    }
    found[CALIBRATION] = {
        name: fmean(calibration_error(*histograms(rows, k)) for k in ks)
        for name, ks in peers.items()
    }
    found[DISAGREEMENT] = {name: disagreement(rows, ks) for name, ks in peers.items()}
    return found


def late(rows: Iterable[Row]) -> list[Row]:
    """The rows of the last steps of adversarial training."""
    training = [
        row for row in rows if row.get("kind") == "train" and row.get("stage") == "training"
    ]
    last = max((row["step"] for row in training), default=0)
    return [row for row in training if row["step"] > last - STEPS]


def term(rows: Sequence[Row], name: str, peer: int) -> float:
    """The mean of a term over rows."""
    values: list[float] = []
    for row in rows:
        with suppress(KeyError, IndexError, TypeError):
            values.append(number(row["peers"][peer][name]))
    return fmean(values) if values else nan


def histograms(rows: Sequence[Row], peer: int) -> tuple[list[int], list[int]]:
    """Counts of real and of generated images in each bin of probability."""
    counts: list[list[int]] = []
    for kind in ("real", "generated"):
        found = [row["calibration"][kind][peer] for row in rows if "calibration" in row]
        counts.append([sum(column) for column in zip(*found, strict=True)])
    return counts[0], counts[1]


def disagreement(rows: Sequence[Row], peers: Sequence[int]) -> float:
    """Mean KL divergence between the discriminators of a variant; NaN for a single one."""
    values = [
        row["disagreement"][a][b]
        for row in rows
        if "disagreement" in row
        for a, b in permutations(peers, 2)
    ]
    return fmean(values) if values else nan


def calibration_error(real: Sequence[int], generated: Sequence[int]) -> float:
    """Mean over images of the distance between the probability predicted and the share that was real.

    Args:
        real, generated: how many images got a probability of each of equal shares of 0 to 1.
    """
    total = sum(real) + sum(generated)
    distances = (
        abs(a - (a + b) * (k + 0.5) / len(real))
        for k, (a, b) in enumerate(zip(real, generated, strict=True))
    )
    return sum(distances) / total if total else nan
