"""Variants against each other: paired intervals, noise, and sentences that follow from the numbers."""

from typing import Any

import pytest
from scipy.stats import ttest_rel

from fastsr.config.mixing import mixing_matrix, temperatures, variants
from fastsr.config.recipes import paper
from fastsr.config.settings import TrainConfig
from fastsr.reproduction.comparison import noise, paired_difference, table, verdict
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.paper import RESULTS, SETS, published, three_pairs
from fastsr.reproduction.plan import deviations

ALONE = ([28.0, 26.0, 30.0], [28.2, 26.2, 30.2])
TAUGHT = ([28.3, 26.2, 30.5], [28.5, 26.4, 30.7])


def evaluation(*, scale: int = 4, values: dict[str, Any] | None = None, metric: str = "psnr") -> dict[str, Any]:
    """As `fastsr eval` writes it: two peers each of Independent and ML on three images."""
    values = values or {"Independent": ALONE, "ML": TAUGHT}
    models: dict[str, Any] = {"bicubic": {}}
    images = [{"set": "Set5", "image": str(k), "model": "bicubic", metric: 25.0 + k} for k in range(3)]
    for variant, peers in values.items():
        for peer in peers:
            name = f"peer {len(models) - 1}"
            models[name] = {"weights": "ema", "variant": variant}
            images += [{"set": "Set5", "image": str(k), "model": name, metric: value} for k, value in enumerate(peer)]
    models["peer 0 raw"] = {"weights": "raw", "variant": "Independent"}
    images += [{"set": "Set5", "image": str(k), "model": "peer 0 raw", metric: 0.0} for k in range(3)]
    return {"scale": scale, "sets": {"Set5": {"images": 3}}, "models": models, "images": images}


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    a, b = [1.0, 2.5, 3.0, 4.2], [0.8, 2.6, 2.5, 3.9]
    got = paired_difference(a, b)
    want = ttest_rel(a, b).confidence_interval(0.95)
    assert (got.low, got.high) == (pytest.approx(want.low), pytest.approx(want.high))
    assert got.mean == pytest.approx(0.225)


def test_one_image_gives_no_interval() -> None:
    assert vars(paired_difference([2.0], [1.0])) == {"mean": 1.0, "low": None, "high": None}


def test_a_table_averages_peers_and_pairs_images() -> None:
    (row,) = table([evaluation(metric="psnr_rgb")], "psnr_rgb")["rows"]
    assert row["bicubic"] == pytest.approx(26)
    assert row["variants"]["Independent"] == {
        "peers": pytest.approx([28.0, 28.2]),
        "mean": pytest.approx(28.1),
        "paper": 26.960,
    }
    assert row["variants"]["ML"]["mean"] == pytest.approx(28.1 + 1 / 3)
    assert row["variants"]["ML*"] == {"peers": [], "mean": None, "paper": 27.119}
    assert row["differences"]["ML"]["mean"] == pytest.approx(1 / 3)
    assert row["differences"]["ML"]["low"] < 1 / 3 < row["differences"]["ML"]["high"]
    assert row["differences"]["ML*"] is None


def test_seeds_are_pooled() -> None:
    other = evaluation(values={"Independent": ([28.4, 26.4, 30.4],), "ML": ([28.3, 26.3, 30.3],)})
    (row,) = table([evaluation(), other], "psnr")["rows"]
    assert row["variants"]["Independent"]["peers"] == pytest.approx([28.0, 28.2, 28.4])
    # by image 85.1 / 3, 78.9 / 3, 91.5 / 3 against 28.2, 26.2, 30.2
    assert row["differences"]["ML"]["mean"] == pytest.approx(((85.1 + 78.9 + 91.5) / 3 - 84.6) / 3)


def test_noise_is_the_spread_of_peers_that_differ_in_their_beginning() -> None:
    assert table([evaluation()], "psnr")["noise"] == pytest.approx(0.2 / 2**0.5)
    assert noise([]) is None
    lonely = evaluation(values={"Independent": ALONE[:1], "ML": TAUGHT[:1]})
    assert table([lonely], "psnr")["noise"] is None


def test_a_missing_value_is_not_averaged_away() -> None:
    (row,) = table([evaluation(values={"Independent": ALONE, "ML": ([28.0, None, 30.0],)})], "psnr")["rows"]
    assert row["variants"]["ML"]["mean"] is None
    assert row["differences"]["ML"] is None


@pytest.mark.parametrize(
    ("metric", "taught", "better", "beyond"),
    [
        ("psnr", TAUGHT, "better", "beyond"),
        ("psnr", ([27.95, 25.9, 30.0], [28.1, 26.1, 30.15]), "worse", "within"),
        ("niqe", TAUGHT, "worse", "beyond"),
    ],
)
def test_the_verdict_follows_the_numbers(metric: str, taught: Any, better: str, beyond: str) -> None:
    one = table([evaluation(values={"Independent": ALONE, "ML": taught}, metric=metric)], metric)
    text = verdict(one, "ML")
    assert f"ML is {better} than Independent by " in text
    assert text.endswith(f"this one is {beyond} that.")
    assert verdict(one, "ML*") == f"{metric.upper()} at x4: nothing can be said of ML*."


def test_the_papers_numbers() -> None:
    assert published(4, "pi", "Set5", "ML*") == 3.111
    assert published(2, "psnr_rgb", "b100", "ML") == 28.826
    assert published(2, "psnr_rgb", "mine", "ML") is None
    assert published(2, "psnr", "Set5", "ML") is None
    assert published(2, "ssim", "Set5", "ML") is None
    assert all(tuple(rows) == SETS for rows in RESULTS.values()) and len(RESULTS) == 4


def test_six_peers_are_three_pairs_that_do_not_touch() -> None:
    cohort = three_pairs(4.0)
    matrix = mixing_matrix(cohort)
    assert variants(cohort) == ["Independent", "Independent", "ML", "ML", "ML*", "ML*"]
    assert temperatures(cohort) == [1, 1, 1, 1, 4, 4]
    assert [[j for j, weight in enumerate(row) if weight] for row in matrix] == [[], [], [3], [2], [5], [4]]
    assert all(weight in (0, 1) for row in matrix for weight in row)


def test_deviations_from_the_paper_are_listed() -> None:
    from dataclasses import replace
    from pathlib import Path

    config = paper()
    config = replace(config, images=replace(config.images, data=(Path("/photos/DIV2K/DIV2K_train_HR"),)))
    assert deviations(config) == []
    small = TrainConfig(model=replace(config.model, blocks=4), optim=replace(config.optim, steps=10))
    assert deviations(small, ["pi"]) == [
        "trained on sample photos, not on DIV2K",
        "adversarial steps: 10, not 50000",
        "residual blocks: 4, not 32",
        "PI is not measured",
    ]


def test_markdown_shows_both_peers_the_mean_and_the_paper() -> None:
    facts = {"tables": [table([evaluation(metric="psnr_rgb")], "psnr_rgb")], "notes": ["steps: 10, not 50000"]}
    text = "\n".join(markdown(facts))
    assert (
        "| Set5 | 26.000 | 28.000 / 28.200; **28.100**, paper 26.960 | 28.333 / 28.533; **28.433**, paper 27.469 |"
        in text
    )
    assert "| none; **n/a**, paper 27.119 | +0.333 [" in text
    assert "* steps: 10, not 50000" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}
