"""The live screen of a training: numbers, times, and its layout in terminals of different widths."""

from dataclasses import replace
from math import nan

import pytest
from rich.console import Console

from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import ImagesConfig, ModelConfig, TrainConfig
from fastsr.prediction.duration import work_of_steps
from fastsr.prediction.memory import predict_memory
from fastsr.system.precision import Precision
from fastsr.training.progress import Pace, Screen, clock, digits, scores_text
from fastsr.training.telemetry import losses
from tests.fastsr.config.configurations import changed

WIDEST = 0.00123456
"""Among numbers that losses have, one of those that take most room."""

SMALLER = replace(
    paper(), model=ModelConfig(blocks=2, filters=8), images=ImagesConfig(batch=2, patch=32)
)


def screen(peers: int, terms: tuple[str, ...] = ("training",)) -> Screen:
    shown = Screen(0, 50_000, Pace(0, ((50_000, 1.0),)))
    columns = TRAINING_TERMS if "training" in terms else PRETRAINING_TERMS
    shown.stage, shown.step, shown.validated = terms[0], 49_750, 49_000
    shown.peers = [dict.fromkeys(columns, WIDEST) for _ in range(peers)]
    shown.psnr = {"bicubic": 23.11, **{f"peer {k}": 23.5 + k / 100 for k in range(peers)}}
    return shown


def rendered(shown: Screen, width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(shown)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("peers", [1, 2, 6])
def test_eighty_columns_show_every_number(peers: int) -> None:
    lines = rendered(screen(peers), 80)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in text and "49750/50000" in lines[0]
    assert text.count("0.00123") == peers * len(TRAINING_TERMS)
    for k in range(peers):
        assert f"{23.5 + k / 100:.2f}" in text
    assert len(lines) == 1 + 2 + peers + 1, "a bar, two lines of headings, the peers, bicubic"


def test_the_table_says_at_which_step_was_validated() -> None:
    lines = rendered(screen(2), 80)
    assert "val PSNR" in lines[1] and "@ 49000" in lines[2]
    assert lines[-1].startswith("bicubic") and lines[-1].endswith("23.11")


def test_a_wide_terminal_is_used() -> None:
    narrow, wide = rendered(screen(2), 80), rendered(screen(2), 160)
    assert "advers." in narrow[2] and "adversarial" in wide[2]
    assert max(map(len, wide[1:])) > 100
    assert "until" in wide[0]


def test_a_validation_of_six_peers_fits_a_line() -> None:
    psnr = {"bicubic": 23.11, **{f"peer {k}": 23.5 + k for k in range(6)}}
    text = scores_text(psnr)
    assert text == "bicubic 23.11, peers 23.50 24.50 25.50 26.50 27.50 28.50 dB"
    assert len(f"validation 50000  {text}") <= 80
    assert scores_text({"bicubic": 23.11, "peer 0": 24.0}) == "bicubic 23.11, peer 24.00 dB"


def test_pretraining_and_no_validation() -> None:
    shown = screen(2, ("pretraining", ""))
    shown.psnr = {}
    assert "PSNR" not in "\n".join(rendered(shown, 80))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0123456, "0.0123"), (1.0, "1.00"), (12.345, "12.3"), (123.45, "123"), (999.7, "1000"),
     (12345.6, "12346"), (1.2345e-5, "1.23e-5"), (4.5678e7, "4.57e7"), (-0.5, "-0.500"), (nan, "nan")],
)  # fmt: skip
def test_three_digits(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(nan, "-:--"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (172_799, "47:59:59"), (864_000, "10.0 days")],
)  # fmt: skip
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_time_left_knows_that_the_stages_differ() -> None:
    """600 steps of work 1, then 200 of work 5: at a step a second 50 before the change, 50 + 1000 s are left."""
    pace = Pace(0, ((600, 1.0), (800, 5.0)))
    assert pace.seconds_left(550, 1.0) == pytest.approx(1050)
    assert pace.seconds_left(600, 0.2) == pytest.approx(1000)
    assert pace.seconds_left(800, 0.2) == 0
    assert Pace(0, ((0, 1.0), (800, 5.0))).seconds_left(0, 2.0) == pytest.approx(400)


def test_a_pause_makes_the_pace_no_slower() -> None:
    pace = Pace(0, ((100, 1.0),))
    pace.ticks.append((pace.ticks[0][0] + 2.0, 4))
    assert pace.rate == pytest.approx(2.0)
    pace.leave_out(1000.0)
    assert pace.rate == pytest.approx(2.0)


@pytest.mark.parametrize("config", [demo(), SMALLER], ids=["pixels", "features"])
def test_work_by_arithmetic_is_that_of_a_step(config: TrainConfig) -> None:
    work = work_of_steps(config)
    assert work.training == pytest.approx(predict_memory(config, Precision()).flop, rel=0.02)
    assert 0 < work.pretraining < work.training


def test_losses_are_those_that_are_minimised() -> None:
    peer = dict.fromkeys((term.name for term in TRAINING_TERMS), 0.0)
    peer |= {"content": 2.0, "adversarial": 3.0, "bce_real": 0.5, "bce_fake": 0.25, "kl_real": 1.0}
    sums = losses([peer, peer], paper(), content_weight=10.0)
    assert sums == {"G": 2 * [pytest.approx(20.003)], "D": 2 * [pytest.approx(1.75)]}
    assert losses([{"pixel": 0.125}], paper(), 1.0) == {"G": [0.125]}
    unscaled = changed("cohort.distillation_scale", "1", changed("cohort.variant", "ml-star"))
    sums = losses([peer, peer], unscaled, content_weight=10.0)
    assert sums["D"] == 2 * [pytest.approx(0.75 + 1 / 16)], "kl_real is a term with T^2"
