"""The share of time that is training."""

import pytest
from rich.console import Console

from fastsr.config.settings import TrainConfig
from fastsr.training.stopwatch import Stopwatch
from fastsr.training.train import train
from tests.fastsr.training.training_cases import rows


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_what_is_no_training_is_counted_by_kind() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    clock.seconds = 90
    with watch.aside("validation"):
        clock.seconds += 4
    with watch.aside("saving"):
        clock.seconds += 1
        with watch.aside("metrics"):  # is part of the saving
            clock.seconds += 1
    with pytest.raises(ValueError, match="planted"), watch.aside("validation"):
        clock.seconds += 4
        raise ValueError("planted")
    assert watch.share == pytest.approx(0.9)
    assert str(watch) == "training took 90.0% of 2 min; validation 8.0% and saving 2.0%"


def test_nothing_but_training() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    assert watch.share == 1
    clock.seconds = 60
    assert str(watch) == "training took 100.0% of 60 s"


def test_a_run_tells_the_share(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(config, Console(width=200, force_terminal=False))
    assert "training took " in capsys.readouterr().out
    shares = [row["wall"]["training_share"] for row in rows(run, "train")]
    assert len(shares) == 6 and all(0 < share <= 1 for share in shares)
