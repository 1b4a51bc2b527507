"""The scaling model on paper."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import pytest

from bench.rows import Row
from bench.scaling import (
    BYTES,
    LINKS,
    SIZES,
    Link,
    StepTime,
    all_gather_seconds,
    all_reduce_seconds,
    efficiencies,
    look_share,
    measured,
    plot,
    table,
)
from fastsr.config.recipes import paper

FOUND = efficiencies(2e-3, paper())


def test_collectives_take_what_their_definition_says() -> None:
    """Four GPUs: two hops; three quarters of the bytes come from others; a sum goes there and back."""
    link = Link("", latency=2.0, bandwidth=10.0)
    assert all_gather_seconds(link, 4, 80) == 2 * 2.0 + 60 / 10
    assert all_reduce_seconds(link, 4, 80) == 2 * (2 * 2.0 + 60 / 10)


@pytest.mark.parametrize("way", FOUND)
def test_more_gpus_and_slower_links_are_never_more_efficient(way: str) -> None:
    lines = [FOUND[way][link.name] for link in LINKS]
    for values in lines:
        assert all(0 < b <= a < 1 for a, b in pairwise(values))
    for faster, slower in pairwise(lines):
        assert all(b <= a for a, b in zip(faster, slower, strict=True))


def test_the_cohort_over_ten_gigabits_by_hand() -> None:
    """Two GPUs, a step of 2 ms: 40 us, half of 2 x 2 x 16 logits, and a loss too small to see."""
    extra = 40e-6 + 2 * 2 * 16 * BYTES / 2 / 1.1e9
    value = FOUND["cohort-parallel"]["10 GbE"][0]
    assert math.isclose(value, 2e-3 / (2e-3 + extra), rel_tol=1e-4)


def test_looking_ahead_costs_a_forward_pass_of_a_step_that_has_more_of_them() -> None:
    assert 0.1 < look_share(paper()) < 0.35


def test_the_picture_and_the_table_have_every_link() -> None:
    picture = plot(FOUND, StepTime(4, "measured (a card)"))
    assert "4 ms, measured (a card)" in picture
    ET.fromstring(picture)
    assert picture.count("<polyline") == len(FOUND) * len(LINKS)
    assert len(table(FOUND).splitlines()) == 2 + len(FOUND) * len(LINKS)
    assert f"{SIZES[-1]:,}" in table(FOUND)


def test_the_time_of_a_step_is_that_of_the_fastest_rung_that_was_measured_last() -> None:
    setting = {"recipe": "paper", "scale": 4, "peers": 2, "batch": 16, "gpu": "NVIDIA H200"}

    def row(day: int, rung: str, milliseconds: float, **changed: Any) -> Row:
        about = {"date": f"2026-01-0{day}T", "commit": "c", "rung": rung, **setting, **changed}
        return {**about, "milliseconds": milliseconds}

    rows = [
        row(1, "graph", 1.0),
        row(2, "eager", 9.0),
        row(2, "graph", 5.0),
        row(2, "graph", 2.0, scale=2),
    ]
    assert measured("h200", rows) == StepTime(5.0, "measured (NVIDIA H200, 2026-01-02, graph)")
    with pytest.raises(
        ValueError, match="--gpu 4090: no row of the ladder; there are rows of NVIDIA H200"
    ):
        measured("4090", rows)
