"""The mixing matrix (who teaches whom), temperatures and starts of a cohort."""

from fastsr.config.settings import CohortConfig
from fastsr.errors import UserError

ML_STAR_TEMPERATURE = 4.0
"""The paper gives no value."""
MOST_STARTS = 1000
"""Initial weights that one seed has, and so the most peers that can differ."""


def mixing_matrix(cohort: CohortConfig) -> list[list[float]]:
    """M `[peers, peers]` of a checked configuration: row k says who teaches peer k. Raises UserError if none fits."""
    peers = cohort.peers
    if cohort.mixing_matrix:
        return checked_matrix(cohort.mixing_matrix, peers)
    name = cohort.mixing
    if name == "variant":
        name = "independent" if cohort.variant == "independent" else "mutual"
    elif cohort.variant == "independent" and name != "independent":
        raise UserError(
            f"--mixing {name} contradicts --variant independent; use --variant ml or ml-star"
        )
    if name == "pairs" and peers % 2:
        raise UserError(
            f"--mixing pairs needs an even number of peers, not --peers {peers}; use {peers + 1}"
        )
    teachers = {
        "independent": lambda k: set[int](),
        "mutual": lambda k: set(range(peers)) - {k},
        "ring": lambda k: {(k - 1) % peers} if peers > 1 else set[int](),
        "star": lambda k: {0} if k else set[int](),
        "pairs": lambda k: {k ^ 1},
    }[name]
    return [
        [1 / len(taught_by) if j in taught_by else 0.0 for j in range(peers)]
        for taught_by in map(teachers, range(peers))
    ]


def checked_matrix(matrix: tuple[tuple[float, ...], ...], peers: int) -> list[list[float]]:
    """The matrix as lists. Raises UserError for a wrong shape, a negative or infinite weight, or a diagonal not 0."""
    if len(matrix) != peers or any(len(row) != peers for row in matrix):
        raise UserError(
            f"mixing_matrix must have {peers} rows of {peers} numbers (one per peer); change it or --peers"
        )
    for k, row in enumerate(matrix):
        for j, weight in enumerate(row):
            if not 0 <= weight < float("inf"):
                raise UserError(f"mixing_matrix[{k}][{j}] is {weight}; weights are 0 or more")
        if row[k] != 0:
            raise UserError(
                f"mixing_matrix[{k}][{k}] is {row[k]}; no peer teaches itself, so the diagonal is 0"
            )
    return [list(row) for row in matrix]


def start_indices(cohort: CohortConfig) -> list[int]:
    """For each peer the index, 0 to 999, of the initial weights it starts from (`--starts`). Raises UserError."""
    require(cohort.peers <= MOST_STARTS, "peers", cohort.peers, f"use {MOST_STARTS} or fewer")
    starts = cohort.starts or tuple(range(cohort.peers))
    if len(starts) != cohort.peers:
        raise UserError(
            f"--starts has {len(starts)} numbers; give one for each of {cohort.peers} peers, or none"
        )
    for start in starts:
        require(0 <= start < MOST_STARTS, "starts", start, "use numbers from 0 to 999")
    return list(starts)


def temperatures(cohort: CohortConfig) -> list[float]:
    """T of each peer of a checked configuration. Raises UserError."""
    values = cohort.temperature or (
        (ML_STAR_TEMPERATURE,) if cohort.variant == "ml-star" else (1.0,)
    )
    if len(values) not in (1, cohort.peers):
        raise UserError(
            f"--temperature has {len(values)} values; give one for all, or one for each of {cohort.peers} peers"
        )
    for value in values:
        require(0 < value < float("inf"), "temperature", value, "use a number above 0")
    if cohort.variant == "ml" and not cohort.mixing_matrix and any(value != 1 for value in values):
        raise UserError(
            f"--temperature {values[0]} softens; --variant ml has none. Use --variant ml-star"
        )
    return list(values) * (cohort.peers if len(values) == 1 else 1)


def divergence_weights(cohort: CohortConfig) -> list[float]:
    """The weight of each peer's divergence, which is computed with T^2: lambda, or lambda / T^2 without that factor."""
    return [
        cohort.kl_weight / (t**2 if cohort.distillation_scale == "1" else 1)
        for t in temperatures(cohort)
    ]


def variants(cohort: CohortConfig) -> list[str]:
    """The name of each peer of a checked configuration in tables: Independent, ML or ML*, or its label."""
    if cohort.labels:
        return list(cohort.labels)
    taught = [any(row) for row in mixing_matrix(cohort)]
    return [
        "Independent" if not teachers else "ML" if t == 1 else "ML*"
        for teachers, t in zip(taught, temperatures(cohort), strict=True)
    ]


def check_cohort(cohort: CohortConfig) -> None:
    """Raises UserError where settings of a cohort contradict each other or are not as many as peers."""
    start_indices(cohort)
    mixing_matrix(cohort)
    temperatures(cohort)
    check_lengths(cohort)


def check_lengths(cohort: CohortConfig) -> None:
    """Raises UserError where labels or factors are not as many as peers, or a factor cannot be used."""
    for name, values in (
        ("labels", cohort.labels),
        ("adversarial_factors", cohort.adversarial_factors),
    ):
        if len(values) not in (0, cohort.peers):
            raise UserError(
                f"{name} has {len(values)} values; give one for each of {cohort.peers} peers, or none"
            )
    for factor in cohort.adversarial_factors:
        if not 0 <= factor < float("inf"):
            raise UserError(f"adversarial_factors has {factor}; factors are 0 or more")


def require(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise UserError(f"--{name.replace('_', '-')} {value} cannot be used; {remedy}")
