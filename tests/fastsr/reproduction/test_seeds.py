"""What several seeds say: Student's t and Holm's correction against scipy, contrasts, and what they decide."""

import json
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from fastsr.evaluation.results import Evaluation, ImageScores, ScoredModel, ScoredSet
from fastsr.reproduction.comparison import table, verdict
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.results import Contrast, Table, Tables
from fastsr.reproduction.seeds import contrast, decided, outcome, with_contrasts
from fastsr.reproduction.student import central_probability, holm, mean_interval, p_value, quantile

LIFTS = (0.3, 0.1, 0.25, 0.2, 0.15)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 11, 19, 40])
@pytest.mark.parametrize("t", [0.0, 0.1, -1.3, 2.2, 9.0])
def test_students_distribution_is_scipys(t: float, degrees: int) -> None:
    assert central_probability(t, degrees) == pytest.approx(
        1 - 2 * student.sf(abs(t), degrees), abs=1e-12
    )
    assert quantile(0.95, degrees) == pytest.approx(student.ppf(0.975, degrees), rel=1e-9)


def test_p_and_interval_are_those_of_a_t_test() -> None:
    values = [0.1, 0.2, -0.05, 0.3, 0.12]
    want = ttest_1samp(values, 0)
    assert p_value(values) == pytest.approx(want.pvalue, rel=1e-9)
    interval = want.confidence_interval(0.95)
    assert mean_interval(values, 0.95) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
    )
    for few in ([0.1], [0.1, nan], [nan, nan, 0.2]):
        assert isnan(p_value(few)) and isnan(mean_interval(few, 0.95)[0])


def test_holms_correction() -> None:
    """By hand: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which may not be below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def evaluation(lift: float, seed: int = 0, metric: str = "psnr_rgb", scale: int = 4) -> Evaluation:
    """Two sets, of 3 and 5 images: ML has `lift` more than Independent in the mean of each, ML* as much less."""
    rng = np.random.default_rng(seed)
    changes = {"Independent": 0.0, "ML": lift, "ML*": -lift}
    models = [ScoredModel("bicubic")]
    models += [
        ScoredModel(f"peer {2 * k + i}", weights="ema", variant=v)
        for k, v in enumerate(changes)
        for i in (0, 1)
    ]
    empty = Evaluation(
        scale=scale, protocol={}, environment={}, models=tuple(models), metrics=(metric,)
    )
    for name, count in (("A", 3), ("B", 5)):
        base, wobble = rng.normal(28, 2, count), rng.normal(0, 0.05, count)
        wobble -= wobble.mean()
        rows = [
            ImageScores(
                name,
                str(i),
                m.name,
                {
                    metric: float(
                        base[i] + changes.get(m.variant, 0) + (m.variant == "ML") * wobble[i]
                    )
                },
            )
            for m in models
            for i in range(count)
        ]
        empty = empty.with_set(ScoredSet(name, count, name), rows)
    return empty


def seeds(
    lifts: tuple[float, ...], metric: str = "psnr_rgb", scale: int = 4
) -> dict[str, Evaluation]:
    return {f"x{scale}-seed{k}": evaluation(lift, k, metric, scale) for k, lift in enumerate(lifts)}


def compared(lifts: tuple[float, ...], metric: str = "psnr_rgb", scale: int = 4) -> Table:
    runs = seeds(lifts, metric, scale)
    return with_contrasts(table([*runs.values()], metric), runs)


def test_a_contrast_is_the_mean_over_seeds_of_means_over_sets() -> None:
    """Each set weighs the same, though one has more images."""
    one = contrast(seeds(LIFTS), "psnr_rgb", "ML")
    assert one is not None
    assert one.sets == ("A", "B") and [seed.run for seed in one.seeds] == [
        f"x4-seed{k}" for k in range(5)
    ]
    assert [seed.mean for seed in one.seeds] == pytest.approx(LIFTS)
    assert one.mean == pytest.approx(0.2)
    want = ttest_1samp(LIFTS, 0)
    assert one.p == pytest.approx(want.pvalue)
    assert (one.low, one.high) == pytest.approx(tuple(want.confidence_interval(0.95)))
    assert all(seed.low < seed.mean < seed.high for seed in one.seeds), "images differ"


def test_sets_without_every_value_are_left_out_of_every_seed() -> None:
    runs = seeds(LIFTS)
    cut = runs["x4-seed2"]
    images = tuple(
        replace(row, values={"psnr_rgb": nan})
        if (row.test_set, row.image, row.model) == ("B", "0", "peer 2")
        else row
        for row in cut.images
    )
    one = contrast(runs | {"x4-seed2": replace(cut, images=images)}, "psnr_rgb", "ML")
    assert one is not None and one.sets == ("A",) and len(one.seeds) == 5


def test_the_primary_metric_is_corrected_over_both_scales_and_decides() -> None:
    tables = decided(
        [compared(LIFTS), compared(LIFTS, "psnr"), compared((0.02, -0.01, 0.3), scale=2)]
    )
    first, other, second = tables
    ps = [one.p for one in (*first.contrasts, *second.contrasts)]
    assert [one.corrected_p for one in (*first.contrasts, *second.contrasts)] == pytest.approx(
        holm(ps)
    )
    assert [one.outcome for one in first.contrasts] == ["better", "worse"]
    assert [one.outcome for one in second.contrasts] == ["undecided", "undecided"]
    assert all(isnan(one.corrected_p) and one.outcome == "" for one in other.contrasts)
    assert {one.tests for one in first.contrasts} == {4}
    strict = decided([compared(LIFTS)], level=1e-4)[0]
    assert [one.outcome for one in strict.contrasts] == ["undecided", "undecided"]


@pytest.mark.parametrize(
    ("low", "high", "p", "higher", "want"),
    [
        (0.1, 0.3, 0.001, True, "better"), (0.1, 0.3, 0.001, False, "worse"), (-0.3, -0.1, 0.001, False, "better"),
        (0.01, 0.03, 0.001, True, "better"), (-0.01, 0.03, 0.4, True, "equal"), (-0.1, 0.03, 0.4, True, "undecided"),
        (-0.1, 0.3, nan, True, "undecided"),
    ],
)  # fmt: skip
def test_outcomes(low: float, high: float, p: float, higher: bool, want: str) -> None:
    assert outcome(Contrast("ML", ("A",), (), (low + high) / 2, low, high), p, 0.05, higher) == want


@pytest.mark.parametrize(
    ("lifts", "lead", "kind"),
    [
        (LIFTS, "ML is better than Independent by 0.20 dB, averaged over 2 sets and 5 seeds.", "better"),
        ((0.4, -0.2, 0.3), "whether ML is better than Independent is undecided; it is better by", "undecided"),
        ((0.01, -0.01, 0.0, 0.005, 0.002), "ML and Independent do not differ by anything that", "equal"),
    ],
    ids=["better", "undecided", "equal"],
)  # fmt: skip
def test_the_verdict_says_what_seeds_decide(lifts: tuple[float, ...], lead: str, kind: str) -> None:
    (one,) = decided([compared(lifts)])
    got = verdict(one, "ML")
    assert got.outcome == kind
    assert str(got).startswith(f"PSNR-RGB at x4: {lead}")
    assert "of 5 seeds are on that side." in str(got) or len(lifts) != 5
    assert "Corrected for 2 tests (Holm) p is" in str(got)


def test_other_metrics_are_told_without_a_decision() -> None:
    (one,) = decided([compared(LIFTS, "psnr")])
    got = verdict(one, "ML")
    assert got.outcome == ""
    assert str(got).startswith(
        "PSNR at x4: ML minus Independent is +0.20 dB, averaged over 2 sets and 5 seeds."
    )
    assert "its p is not corrected" in str(got)


def test_one_seed_decides_nothing() -> None:
    (one,) = decided([compared((0.9,))])
    assert verdict(one, "ML").outcome == "undecided"
    assert "undecided by one seed" in str(verdict(one, "ML"))


def test_contrasts_are_kept_in_tables_and_shown(tmp_path: Path) -> None:
    tables = Tables(tables=decided([compared(LIFTS)]))
    file = tmp_path / "tables.json"
    file.write_text(json.dumps(tables.to_json(), allow_nan=False))
    assert Tables.read(file).tables == tables.tables
    text = "\n".join(markdown(tables))
    assert "| run, mean over A and B | ML - Independent | ML* - Independent |" in text
    assert "| x4-seed1 | +0.100 [" in text
    assert "| **over seeds** | **+0.200 [" in text
