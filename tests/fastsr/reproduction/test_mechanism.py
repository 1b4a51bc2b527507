"""What the discriminators say: taken from the last rows of training, per variant and seed, and over seeds."""

from math import isnan
from typing import Any

import pytest

from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.mechanism import (
    CALIBRATION,
    DISAGREEMENT,
    QUANTITIES,
    Mechanism,
    calibration_error,
    mechanism,
    seed_values,
)
from fastsr.reproduction.results import Tables
from fastsr.reproduction.student import mean_interval

VARIANTS = ("Independent", "Independent", "ML", "ML")


def row(step: int, bce: float, stage: str = "training") -> dict[str, Any]:
    """Four peers; the ML ones have 0.1 more BCE, and are as sure of generated images as of real ones."""
    peers = [
        {"bce_real": bce + shift, "bce_fake": 1.0, "d_prob_real": 0.6, "d_prob_fake": 0.4}
        for shift in (0.0, 0.2, 0.1, 0.3)
    ]
    sure = [[0] * 9 + [10], [0] * 9 + [10]]
    calibration = {"real": [*sure, *sure], "generated": [[10] + [0] * 9] * 2 + sure}
    apart = [[0, 0.4, 9, 9], [0.2, 0, 9, 9], [9, 9, 0, 0.05], [9, 9, 0.01, 0]]
    about = {"kind": "train", "step": step, "stage": stage, "peers": peers}
    return {**about, "calibration": calibration, "disagreement": apart}


def test_the_last_steps_of_training_are_looked_at() -> None:
    rows = [row(100, 7.0, "pretraining"), row(700, 5.0), row(820, 0.5), row(900, 0.7)]
    validation = {"kind": "validation", "step": 900}
    found = seed_values([*rows, validation], VARIANTS)
    assert found["bce_real"] == pytest.approx({"Independent": 0.7, "ML": 0.8})
    assert found["d_prob_fake"] == pytest.approx({"Independent": 0.4, "ML": 0.4})
    assert found[DISAGREEMENT] == pytest.approx({"Independent": 0.3, "ML": 0.03})
    assert found[CALIBRATION] == pytest.approx({"Independent": 0.05, "ML": 0.45})
    assert set(found) == set(QUANTITIES)


def test_a_run_that_did_not_measure_has_no_numbers() -> None:
    bare = {"kind": "train", "step": 1, "stage": "training", "peers": [{}] * 4}
    found = seed_values([bare], VARIANTS)
    assert all(isnan(value) for values in found.values() for value in values.values())
    assert isnan(seed_values([], VARIANTS)[CALIBRATION]["ML"])


def test_seeds_are_the_unit() -> None:
    seeds = [seed_values([row(900, bce)], VARIANTS) for bce in (0.4, 0.5, 0.9)]
    found = mechanism(4, seeds)
    bce = found.opinions[0]
    ml = bce.values["ML"]
    assert ml.mean == pytest.approx(0.8)
    assert (ml.low, ml.high) == pytest.approx(mean_interval([0.6, 0.7, 1.1], 0.95))
    assert bce.differences["ML"].mean == pytest.approx(0.1)
    assert bce.differences["ML"].low == pytest.approx(0.1)
    assert list(bce.differences) == ["ML"]


def test_it_is_written_read_and_shown() -> None:
    found = mechanism(4, [seed_values([row(900, bce)], VARIANTS) for bce in (0.4, 0.5)])
    assert Mechanism.from_json(found.to_json()) == found
    tables = Tables(tables=(), mechanisms=(found,))
    assert repr(Tables.from_json(tables.to_json())) == repr(tables)
    text = "\n".join(markdown(tables))
    assert "| BCE on real images (nats) | 0.550 [-0.085, 1.185] | 0.650 [" in text
    assert "| calibration error | 0.050 [0.050, 0.050] | 0.450 [0.450, 0.450] | +0.400 [" in text


def test_calibration_error() -> None:
    assert calibration_error([0] * 9 + [95], [0] * 9 + [5]) == pytest.approx(0)
    assert calibration_error([0] * 9 + [50], [0] * 9 + [50]) == pytest.approx(0.45)
    assert isnan(calibration_error([], []))


def test_other_losses_are_not_called_cross_entropy() -> None:
    seeds = [seed_values([row(900, 0.4)], VARIANTS)]
    found = Mechanism.from_json(mechanism(4, seeds, "lsgan").to_json())
    text = "\n".join(markdown(Tables(tables=(), mechanisms=(found,))))
    assert "| loss of D on real images |" in text
    assert "BCE" not in text
    assert "over 1 seed, with" in text
    assert "| BCE on real images (nats) |" in "\n".join(
        markdown(Tables(tables=(), mechanisms=(mechanism(4, seeds),)))
    )
