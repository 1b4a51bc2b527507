"""The charts and pictures of a report, piece by piece."""

import re
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest

from fastsr.console import listed
from fastsr.report.axes import TOP, Scale, labels_of, linear_ticks, log_ticks, step_scale
from fastsr.report.charts import Series, line_chart
from fastsr.report.curves import compared_pairs
from fastsr.report.lines import smoothed, thinned, with_smoothing
from fastsr.report.pictures import liveliest
from fastsr.report.runs import collect, read_run
from tests.fastsr.report.pages import page_of
from tests.fastsr.report.report_fixture import write_run


def test_variants_and_pairs(reproduction: Path, run: Path) -> None:
    six = read_run(reproduction / "x2-seed0")
    assert [peer.variant for peer in six.peers] == ["Independent"] * 2 + ["ML"] * 2 + ["ML*"] * 2
    pairs = [(a.index, b.index, variant) for a, b, variant in compared_pairs(six)]
    assert pairs == [(0, 1, "Independent"), (2, 3, "ML"), (4, 5, "ML*")]
    two = collect(run)
    assert not hasattr(two, "tables")
    assert [peer.label for peer in read_run(run).peers] == ["peer 0 (ML)", "peer 1 (ML)"]


def test_many_pairs_become_means(tmp_path: Path) -> None:
    from fastsr.config.settings import CohortConfig

    page = page_of(write_run(tmp_path / "all", CohortConfig(peers=5), evaluated=False))
    assert "ML, mean of 10 pairs" in page.text


def test_thinning_averages_in_bins() -> None:
    xs, ys = thinned(range(1000), [float(k) for k in range(1000)], 400)
    assert len(xs) <= 400
    assert xs[:2] == ys[:2] == (1.0, 4.0)
    assert thinned([1, 2, 3, 4], [nan, 2.0, nan, nan], 2)[1][0] == 2.0
    assert isnan(thinned([1, 2, 3, 4], [nan, 2.0, nan, nan], 2)[1][1])
    assert thinned([], [], 5) == ((), ())


def test_smoothing_keeps_the_start_the_gaps_and_straight_lines() -> None:
    straight = tuple(0.5 * k for k in range(100))
    assert smoothed(straight)[:-4] == pytest.approx(straight[:-4])
    jagged = tuple(float(k % 2) for k in range(100))
    assert smoothed(jagged)[0] == jagged[0]
    assert all(0.4 < y < 0.6 for y in smoothed(jagged)[10:-10])
    assert 0.3 < smoothed(jagged)[-1] < 0.7
    assert isnan(smoothed([*jagged[:50], nan, *jagged[51:]])[50])
    assert smoothed(jagged[:10]) == jagged[:10]


def test_unsmoothed_lines_stand_behind_two_lines_but_not_behind_six() -> None:
    xs, ys = tuple(range(100)), tuple(float(k % 2) for k in range(100))
    for count, faint in ((2, 2), (6, 0)):
        lines = with_smoothing([Series(str(k), xs, ys, k) for k in range(count)])
        assert sum(one.faint for one in lines) == faint and len(lines) == count + faint


def test_a_late_start_leaves_no_empty_axis() -> None:
    assert step_scale([1000, 2000]).low == 1000 and step_scale([10, 2000]).low == 0
    assert step_scale([0]).high > step_scale([0]).low and step_scale([]).high == 1


def test_the_name_of_a_level_stands_above_the_chart() -> None:
    chart = line_chart("t", "u", [Series("a", (1, 2), (27.0, 28.0))], reference=(28.0, "bicubic"))
    place = re.search(r'<text x="[\d.]+" y="([\d.]+)"[^>]*>bicubic<', chart)
    assert place and float(place[1]) < TOP


def test_axes() -> None:
    assert linear_ticks(0, 2500) == [0, 500, 1000, 1500, 2000, 2500]
    assert log_ticks(0.004, 30) == [0.01, 0.1, 1, 10]
    assert labels_of([0, 0.5, 1.0], False) == ["0", "0.5", "1.0"]
    assert labels_of([0, 20_000, 40_000], False) == ["0", "20k", "40k"]
    assert Scale(1, 100, 0, 10, log=True)(10) == 5
    assert "log scale" in line_chart("t", "u", [Series("a", (1, 2), (0.001, 1.0))])
    assert "log scale" not in line_chart("t", "u", [Series("a", (1, 2), (0.1, 1.0))])
    for values in ((1.0, 1.0), (0.0, 0.0), (-5.0, 3.0), (nan, 2.0), (1e-12, 1e12)):
        chart = line_chart("t", "u", [Series("a", (0, 0), values)])
        assert "<path" in chart and "nan" not in chart


def test_crop_is_where_the_original_varies_most() -> None:
    image = np.zeros((50, 70))
    image[30:38, 40:48] = np.random.default_rng(0).normal(0, 1, (8, 8))
    box = liveliest(image, 8)
    assert (box.top, box.left, box.height, box.width) == (30, 40, 8, 8)
    whole = liveliest(image, 100)
    assert (whole.height, whole.width) == (50, 70)


def test_lists_read_well() -> None:
    assert [listed(items) for items in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
