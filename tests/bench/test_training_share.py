"""The share of time that is training, counted: by hand here."""

from dataclasses import replace

import pytest

from bench import training_share
from bench.roofline import Prediction
from bench.setups import small_recipe
from bench.training_share import MACHINES, Pace, Terms, share, snapshot_bytes, terms
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.system.precision import Precision
from fastsr.training.snapshot import Snapshot
from tests.fastsr.cohort.cohorts import CPU


def test_the_share_is_that_of_an_hour_counted_by_hand() -> None:
    """1,000 steps of 5 ms with 20 rows of 1 ms and a validation of 0.23 s; then 6 s of every 600 go to saving."""
    pace = Pace(log_every=50, val_every=1000, save_minutes=10)
    found = share(0.005, Terms(row=1e-3, validation=0.23, checkpoint=6.0), pace)
    assert found == pytest.approx(5 / (5 + 0.02 + 0.23) * 0.99)
    assert share(0.005, Terms(row=0, validation=0, checkpoint=0), pace) == 1


def test_a_snapshot_has_the_bytes_of_what_is_saved() -> None:
    """But for BN statistics, counters and metrics, which are few."""
    config = small_recipe()
    cohort = Cohort(config, PixelContent(), CPU, Precision())
    ring = MetricsRing(1, config.cohort.peers, CPU)
    saved = sum(x.nbytes for x in Snapshot.of(cohort, ring, "").tensors())
    assert snapshot_bytes(config) <= saved <= 1.02 * snapshot_bytes(config)


def test_work_grows_with_peers_and_falls_with_a_faster_gpu() -> None:
    config = small_recipe()
    twice = replace(config, cohort=replace(config.cohort, peers=4))
    one, two = (terms(each, MACHINES[0]) for each in (config, twice))
    assert two.checkpoint == pytest.approx(2 * one.checkpoint)
    slower = terms(config, MACHINES[1])
    assert slower.validation > one.validation and slower.checkpoint > one.checkpoint


def test_terms_and_shares_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_share, "paper_recipe", small_recipe)
    monkeypatch.setattr(training_share, "count_step", lambda *_: "counted")
    predicted = Prediction(worst=100.0, best=200.0, limiter="launches")
    monkeypatch.setattr(training_share, "predict", lambda *_: predicted)
    training_share.main(["--val-every", "5000"])
    first, *printed = capsys.readouterr().out.splitlines()
    assert "validation every 5000 on 14 images" in first
    cards, assumed = printed[:2], printed[2]
    assert [line.partition(":")[0] for line in cards] == ["H100 80GB HBM3", "RTX 3060"]
    assert "steps of 5.0 to 10.0 ms" in cards[0] and "97% is missed)" in cards[0]
    assert assumed.startswith("Assumed: ")
