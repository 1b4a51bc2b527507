"""Control pairs: peers beside the paper's six, which tell what in ML does what it does. Trained on request."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from fastsr.config.mixing import start_indices, temperatures, variants
from fastsr.config.settings import CohortConfig
from fastsr.errors import UserError

Control = Literal["one-way", "weaker", "unscaled"]
WEAKER = 0.5
LABELS: dict[Control, str] = {
    "one-way": "One-way",
    "weaker": f"Independent, {WEAKER:g} adversarial",
    "unscaled": "ML* without T²",
}
"""one-way: each peer of the pair is taught by the Independent one that begins otherwise, and teaches nobody; if ML only
needs a teacher, it does as well. weaker: Independent, its adversarial loss weighing less; if ML only tames
discriminators, it does as well. unscaled: ML* with a divergence that is not multiplied by T²."""


def with_controls(cohort: CohortConfig, controls: Sequence[Control]) -> CohortConfig:
    """The paper's six peers, and behind them a pair for each control, which begins with the same two weights.

    Raises UserError where a control is what the settings make of ML* anyway.
    """
    chosen: dict[Control, None] = dict.fromkeys(controls)  # each once
    if "unscaled" in chosen and cohort.distillation_scale == "1":
        raise UserError("--controls unscaled is what --distillation-scale 1 makes of ML*; omit one")
    if not chosen:
        return cohort
    softened, names = temperatures(cohort)[4], variants(cohort)
    first, total = cohort.peers, cohort.peers + 2 * len(chosen)
    matrix = [[*row, *[0.0] * (total - first)] for row in cohort.mixing_matrix]
    for control in chosen:
        k = len(matrix)
        rows = [[0.0] * total for _ in range(2)]
        if control == "one-way":
            rows[0][1] = rows[1][0] = 1.0
        elif control == "unscaled":
            rows[0][k + 1] = rows[1][k] = softened**-2
        matrix += rows
    each: list[Control] = [control for control in chosen for _ in range(2)]
    return replace(
        cohort,
        peers=total,
        mixing_matrix=tuple(map(tuple, matrix)),
        temperature=(
            *temperatures(cohort),
            *(softened if control == "unscaled" else 1.0 for control in each),
        ),
        starts=(*start_indices(cohort), *(0, 1) * len(chosen)),
        labels=(*names, *(LABELS[control] for control in each)),
        adversarial_factors=(
            *[1.0] * first,
            *(WEAKER if control == "weaker" else 1.0 for control in each),
        ),
    )
