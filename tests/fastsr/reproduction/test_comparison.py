"""Variants against each other: paired intervals, noise, and sentences that follow from the numbers."""

from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from fastsr.config.mixing import mixing_matrix, temperatures, variants
from fastsr.evaluation.results import Evaluation, ImageScores, ScoredModel, ScoredSet
from fastsr.reproduction.comparison import (
    Verdict,
    noise,
    paired_difference,
    small_text,
    table,
    verdict,
)
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.paper import RESULTS, SETS, published, three_pairs
from fastsr.reproduction.results import Tables, Variant

ALONE = ([28.0, 26.0, 30.0], [28.2, 26.2, 30.2])
TAUGHT = ([28.3, 26.2, 30.5], [28.5, 26.4, 30.7])


def evaluation(
    *, scale: int = 4, values: dict[str, Any] | None = None, metric: str = "psnr"
) -> Evaluation:
    """Two peers each of Independent and ML on three images."""
    values = values or {"Independent": ALONE, "ML": TAUGHT}
    peers = [(variant, scores) for variant, of_peers in values.items() for scores in of_peers]
    models = [
        ScoredModel(f"peer {k}", weights="ema", variant=variant)
        for k, (variant, _) in enumerate(peers)
    ]
    models = [
        ScoredModel("bicubic"),
        *models,
        ScoredModel("peer 0 raw", weights="raw", variant="Independent"),
    ]
    scores = [[25.0, 26.0, 27.0], *(scores for _, scores in peers), [0.0, 0.0, 0.0]]
    images = [
        ImageScores("Set5", str(k), model.name, {metric: value})
        for model, row in zip(models, scores, strict=True)
        for k, value in enumerate(row)
    ]
    empty = Evaluation(
        scale=scale, protocol={}, environment={}, models=tuple(models), metrics=(metric,)
    )
    return empty.with_set(ScoredSet("Set5", 3, "Set5"), images)


def test_the_interval_is_that_of_a_bootstrap_over_images() -> None:
    """scipy's is the reference; both draw at random, so that they agree as well as 10,000 resamples can."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    got = paired_difference(a.tolist(), b.tolist())
    reference = bootstrap(
        (a - b,), np.mean, n_resamples=100_000, method="percentile", rng=np.random.default_rng(1)
    )
    want = reference.confidence_interval
    assert (got.low, got.high) == (
        pytest.approx(want.low, abs=0.02),
        pytest.approx(want.high, abs=0.02),
    )
    assert got.mean == pytest.approx(float(np.mean(a - b)))


def test_equal_scores_give_equal_intervals() -> None:
    a, b = [1.0, 2.5, 3.0, 4.2], [0.8, 2.6, 2.5, 3.9]
    assert paired_difference(a, b) == paired_difference(a, b)
    same = paired_difference([1.5, 2.5, 3.5], [1.0, 2.0, 3.0])
    assert (same.mean, same.low, same.high) == (0.5, 0.5, 0.5)


def test_one_image_gives_no_interval() -> None:
    got = paired_difference([2.0], [1.0])
    assert got.mean == 1.0 and isnan(got.low) and isnan(got.high)


def test_a_table_averages_peers_and_pairs_images() -> None:
    (row,) = table([evaluation(metric="psnr_rgb")], "psnr_rgb").rows
    assert row.bicubic == pytest.approx(26)
    alone = row.variants["Independent"]
    assert alone.peers == pytest.approx((28.0, 28.2))
    assert (alone.mean, alone.paper) == (pytest.approx(28.1), 26.960)
    assert row.variants["ML"].mean == pytest.approx(28.1 + 1 / 3)
    softened = row.variants["ML*"]
    assert softened.peers == () and isnan(softened.mean) and softened.paper == 27.119
    assert row.differences["ML"].mean == pytest.approx(1 / 3)
    assert row.differences["ML"].low < 1 / 3 < row.differences["ML"].high
    assert isnan(row.differences["ML*"].mean)


def test_seeds_are_pooled() -> None:
    other = evaluation(values={"Independent": ([28.4, 26.4, 30.4],), "ML": ([28.3, 26.3, 30.3],)})
    (row,) = table([evaluation(), other], "psnr").rows
    assert row.variants["Independent"].peers == pytest.approx((28.0, 28.2, 28.4))
    # by image 85.1 / 3, 78.9 / 3, 91.5 / 3 against 28.2, 26.2, 30.2
    assert row.differences["ML"].mean == pytest.approx(((85.1 + 78.9 + 91.5) / 3 - 84.6) / 3)


def test_noise_is_the_spread_of_peers_that_differ_in_their_beginning() -> None:
    assert table([evaluation()], "psnr").noise == pytest.approx(0.2 / 2**0.5)
    assert isnan(noise([]))
    lonely = evaluation(values={"Independent": ALONE[:1], "ML": TAUGHT[:1]})
    assert isnan(table([lonely], "psnr").noise)


def test_a_missing_value_is_not_averaged_away() -> None:
    (row,) = table(
        [evaluation(values={"Independent": ALONE, "ML": ([28.0, nan, 30.0],)})], "psnr"
    ).rows
    assert isnan(row.variants["ML"].mean)
    assert isnan(row.differences["ML"].mean)


@pytest.mark.parametrize(
    ("metric", "taught", "lead", "sets", "chance"),
    [
        (
            "psnr", TAUGHT, "it is better by 0.33 dB,",
            "ML beat Independent on Set5.", "beyond",
        ),
        (
            "niqe", TAUGHT, "it is worse by 0.333,",
            "ML fell short of Independent on Set5.", "beyond",
        ),
        (
            "psnr", ([27.95, 25.9, 29.95], [28.15, 26.1, 30.15]), "it is worse by 0.07 dB,",
            "ML fell short of Independent on Set5.", "within",
        ),
        (
            "psnr", ([28.3, 25.9, 31.5], [28.5, 26.1, 31.7]), "it is better by 0.57 dB,",
            "On Set5 the 95 % interval holds zero: no difference is shown.", "beyond",
        ),
    ],
    ids=["better", "lower-is-better", "within-chance", "interval-holds-zero"],
)  # fmt: skip
def test_the_verdict_of_one_seed_follows_the_numbers_and_decides_nothing(
    metric: str, taught: Any, lead: str, sets: str, chance: str
) -> None:
    one = table([evaluation(values={"Independent": ALONE, "ML": taught}, metric=metric)], metric)
    got = verdict(one, "ML")
    assert got.outcome == "undecided"
    undecided = "whether ML is better than Independent is undecided by one seed;"
    assert str(got).startswith(f"{metric.upper()} at x4: {undecided} {lead} averaged over 1 set.")
    assert sets in got.sentences
    assert got.sentences[1].endswith(f"this one is {chance} that.")
    assert verdict(one, "ML*") == Verdict(
        "undecided", (f"{metric.upper()} at x4: nothing can be said of ML*.",)
    )


def test_without_two_peers_nothing_is_decided() -> None:
    one = table([evaluation(values={"Independent": ALONE[:1], "ML": TAUGHT[:1]})], "psnr")
    got = verdict(one, "ML")
    assert got.outcome == "undecided" and "ML beat Independent on Set5." in got.sentences
    assert got.sentences[1].startswith(
        "How far initial weights alone move the numbers is not known"
    )


def test_screen_markdown_and_page_give_the_same_verdict() -> None:
    from fastsr.report.tables import reproduction_table

    one = table([evaluation()], "psnr")
    said = str(verdict(one, "ML"))
    assert f"* {said}" in list(markdown(Tables(tables=(one,))))
    assert f"<p>{said}</p>" in reproduction_table(one)


def test_the_papers_numbers() -> None:
    assert published(4, "pi", "Set5", "ML*") == 3.111
    assert published(2, "psnr_rgb", "b100", "ML") == 28.826
    assert isnan(published(2, "psnr_rgb", "mine", "ML"))
    assert isnan(published(2, "psnr", "Set5", "ML"))
    assert isnan(published(2, "ssim", "Set5", "ML"))
    assert all(tuple(rows) == SETS for rows in RESULTS.values()) and len(RESULTS) == 4


def test_six_peers_are_three_pairs_that_do_not_touch() -> None:
    cohort = three_pairs(4.0)
    matrix = mixing_matrix(cohort)
    assert variants(cohort) == ["Independent", "Independent", "ML", "ML", "ML*", "ML*"]
    assert temperatures(cohort) == [1, 1, 1, 1, 4, 4]
    assert [[j for j, weight in enumerate(row) if weight] for row in matrix] == [
        [],
        [],
        [3],
        [2],
        [5],
        [4],
    ]
    assert all(weight in (0, 1) for row in matrix for weight in row)


def test_markdown_shows_both_peers_the_mean_and_the_paper() -> None:
    tables = Tables(
        tables=(table([evaluation(metric="psnr_rgb")], "psnr_rgb"),),
        notes=("steps: 10, not 50000",),
    )
    text = "\n".join(markdown(tables))
    assert (
        "| Set5 | 26.000 | 28.000 / 28.200; **28.100**, paper 26.960 | 28.333 / 28.533; **28.433**, paper 27.469 |"
        in text
    )
    assert "| none; **n/a**, paper 27.119 | +0.333 [" in text
    assert "* steps: 10, not 50000" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_many_peers_are_told_by_their_range() -> None:
    def text(value: float) -> str:
        return f"{value:.1f}"

    assert Variant((1.0, 2.0), 1.5, nan).peers_in_words(text, ", ") == "1.0, 2.0"
    many = Variant((3.0, 1.0, nan, 2.0, 5.0), 2.75, nan)
    assert many.peers_in_words(text, ", ") == "1.0 to 5.0, 4 peers"
    assert Variant((nan,) * 20, nan, nan).peers_in_words(text, "/") == "nan/nan/nan/nan"


def test_small_probabilities_are_told_without_an_exponent() -> None:
    assert [small_text(p) for p in (0.1, 0.0013, 4.1e-5)] == ["0.1", "0.0013", "below 0.0001"]
