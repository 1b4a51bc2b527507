"""The mixing matrix, temperatures and initial weights."""

from dataclasses import replace

import pytest

from fastsr.config.check import check
from fastsr.config.mixing import mixing_matrix, start_indices, temperatures
from fastsr.config.settings import (
    CohortConfig,
    MixingName,
    TrainConfig,
    Variant,
)
from fastsr.errors import UserError
from tests.fastsr.config.configurations import INF, NAN, changed

MATRICES: list[tuple[MixingName, int, list[list[float]]]] = [
    ("independent", 3, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ("mutual", 1, [[0]]),
    ("mutual", 2, [[0, 1], [1, 0]]),
    ("mutual", 3, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    ("variant", 3, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    ("ring", 1, [[0]]),
    ("ring", 2, [[0, 1], [1, 0]]),
    ("ring", 3, [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    ("star", 1, [[0]]),
    ("star", 3, [[0, 0, 0], [1, 0, 0], [1, 0, 0]]),
    ("pairs", 2, [[0, 1], [1, 0]]),
    ("pairs", 4, [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
]


@pytest.mark.parametrize(
    ("mixing", "peers", "expected"),
    MATRICES,
    ids=[f"{name} of {peers}" for name, peers, _ in MATRICES],
)
@pytest.mark.parametrize("variant", ["ml", "ml-star"])
def test_mixing_by_name(
    variant: Variant, mixing: MixingName, peers: int, expected: list[list[float]]
) -> None:
    assert mixing_matrix(CohortConfig(peers=peers, variant=variant, mixing=mixing)) == expected


@pytest.mark.parametrize("mixing", ["variant", "independent"])
def test_independent_peers_have_no_teachers(mixing: MixingName) -> None:
    assert mixing_matrix(CohortConfig(peers=2, variant="independent", mixing=mixing)) == [
        [0, 0],
        [0, 0],
    ]


@pytest.mark.parametrize("mixing", ["mutual", "ring", "star", "pairs"])
def test_independent_contradicts_teaching(mixing: MixingName) -> None:
    config = replace(TrainConfig(), cohort=CohortConfig(variant="independent", mixing=mixing))
    with pytest.raises(
        UserError, match=f"--mixing {mixing} contradicts --variant independent; use --variant ml"
    ):
        check(config)


@pytest.mark.parametrize("peers", [1, 3])
def test_pairs_need_an_even_number_of_peers(peers: int) -> None:
    config = replace(TrainConfig(), cohort=CohortConfig(peers=peers, mixing="pairs"))
    with pytest.raises(
        UserError,
        match=f"--mixing pairs needs an even number of peers, not --peers {peers}; use {peers + 1}",
    ):
        check(config)


@pytest.mark.parametrize("variant", ["independent", "ml", "ml-star"])
def test_a_matrix_overrides_the_name_and_the_variant(variant: Variant) -> None:
    matrix = ((0.0, 0.25), (3.0, 0.0))
    assert mixing_matrix(CohortConfig(variant=variant, mixing_matrix=matrix)) == [
        [0.0, 0.25],
        [3.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (((0.0,),), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (((0.0, 1.0),), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (((0.0, 1.0), (1.0,)), "mixing_matrix must have 2 rows of 2 numbers (one per peer)"),
        (
            ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
            "mixing_matrix must have 2 rows of 2 numbers",
        ),
        (((0.0, -1.0), (1.0, 0.0)), "mixing_matrix[0][1] is -1.0; weights are 0 or more"),
        (((0.0, 1.0), (NAN, 0.0)), "mixing_matrix[1][0] is nan; weights are 0 or more"),
        (((0.0, 1.0), (INF, 0.0)), "mixing_matrix[1][0] is inf; weights"),
        (
            ((0.0, 1.0), (1.0, 0.5)),
            "mixing_matrix[1][1] is 0.5; no peer teaches itself, so the diagonal is 0",
        ),
    ],
    ids=["1x1", "1x2", "ragged", "3x3", "negative", "nan", "inf", "diagonal"],
)
def test_a_matrix_that_fits_no_cohort_is_refused(
    matrix: tuple[tuple[float, ...], ...], message: str
) -> None:
    with pytest.raises(UserError) as error:
        check(replace(TrainConfig(), cohort=CohortConfig(mixing_matrix=matrix)))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [
        (CohortConfig(variant="independent"), [1, 1]),
        (CohortConfig(variant="ml"), [1, 1]),
        (CohortConfig(variant="ml", temperature=(1.0,)), [1, 1]),
        (CohortConfig(variant="ml-star"), [4, 4]),
        (CohortConfig(variant="ml-star", peers=3), [4, 4, 4]),
        (CohortConfig(variant="ml-star", temperature=(2.5,)), [2.5, 2.5]),
        (CohortConfig(variant="ml-star", temperature=(2.0, 5.0)), [2, 5]),
        (CohortConfig(variant="ml", peers=1), [1]),
    ],
    ids=[
        "independent",
        "ml",
        "ml, T=1",
        "ml-star",
        "ml-star, 3 peers",
        "one T for all",
        "a T each",
        "1 peer",
    ],
)
def test_temperatures(cohort: CohortConfig, expected: list[float]) -> None:
    assert temperatures(cohort) == expected


def test_ml_has_no_softening() -> None:
    with pytest.raises(
        UserError,
        match=r"--temperature 2\.0 softens; --variant ml has none\. Use --variant ml-star",
    ):
        check(changed("cohort.temperature", (2.0,)))


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ((0,), r"--starts has 1 numbers; give one for each of 2 peers, or none"),
        ((0, -1), r"--starts -1 cannot be used; use numbers from 0 to 999"),
        ((0, 1000), r"--starts 1000 cannot be used"),
    ],
)
def test_starts_that_cannot_be_meant(starts: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(changed("cohort.starts", starts))


def test_starts_differ_unless_asked_to_be_alike() -> None:
    assert start_indices(CohortConfig(peers=3)) == [0, 1, 2]
    assert start_indices(CohortConfig(peers=3, starts=(4, 0, 4))) == [4, 0, 4]
