"""The speed of this machine, from which the time of a run is estimated."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.ladder import with_peers
from bench.rows import RESULTS, read_rows
from fastsr.config.recipes import demo, esrgan, paper, real_esrgan
from fastsr.config.settings import TrainConfig
from fastsr.prediction import duration
from fastsr.prediction.duration import matrix_speed, work_of_steps
from fastsr.system.precision import Precision

PAUSE = 0.5
"""Seconds."""


def gpu_rows() -> list[dict[str, Any]]:
    """Of captured steps in bf16 on the one GPU that was measured; none outside the repository."""
    file = RESULTS / "nvidia-h100-80gb-hbm3.jsonl"
    rows = read_rows(file) if file.is_file() else []
    return [row for row in rows if row.get("rung") in ("+ parallel peers", "not compiled")]


def test_what_else_a_machine_does_makes_no_estimate_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that waits half a second, as on a machine with more to do, still counts by its own work."""
    product = torch.mm

    def delayed(a: Tensor, b: Tensor) -> Tensor:
        time.sleep(PAUSE)
        return product(a, b)

    monkeypatch.setattr(torch, "mm", delayed)
    assert matrix_speed(torch.device("cpu"), None) > 2 * 1024**3 / PAUSE


@pytest.mark.parametrize("recipe", [paper, demo, esrgan, real_esrgan])
def test_the_work_of_every_recipe_can_be_counted(recipe: Callable[[], TrainConfig]) -> None:
    assert work_of_steps(recipe()).training > 0


def test_peers_that_begin_alike_are_pretrained_once() -> None:
    apart = replace(demo(), cohort=replace(demo().cohort, peers=6))
    pairs = replace(apart, cohort=replace(apart.cohort, starts=(0, 1, 0, 1, 0, 1)))
    one, other = work_of_steps(apart), work_of_steps(pairs)
    assert other.pretraining == one.pretraining / 3 == other.generating
    assert other.training == one.training


def test_a_gpu_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = list[Any]()
    monkeypatch.setattr(duration, "matrix_speed", lambda *of: measured.append(of) or 1e14)
    monkeypatch.setattr(duration, "choose_precision", lambda *_: Precision(dtype=torch.bfloat16))
    duration.gpu_speed.cache_clear()
    try:
        before, warming, training = duration.stage_weights(paper(), torch.device("cuda"))
        assert duration.stage_weights(paper(), torch.device("cuda")) == (before, warming, training)
    finally:
        duration.gpu_speed.cache_clear()
    assert len(measured) == 1 and 0 < before < training


def test_measuring_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert matrix_speed(torch.device("cpu"), None) > 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "row", gpu_rows(), ids=lambda row: f"{row['name']} x{row['scale']} {row['peers']}"
)
def test_a_measured_gpu_is_estimated(row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of an H100, from the speed of its matrix products, within a quarter."""
    peak = 1e12 * row["teraflops_per_second"] / row["share_of_matrix_peak"]
    monkeypatch.setattr(duration, "gpu_speed", lambda *_: peak)
    monkeypatch.setattr(duration, "choose_precision", lambda *_: Precision(dtype=torch.bfloat16))
    config = with_peers(paper(), row["peers"])
    config = replace(
        config,
        model=replace(config.model, scale=row["scale"]),
        loss=replace(config.loss, content="random-vgg"),
        optim=replace(config.optim, pretrain_steps=0, steps=1),
    )
    seconds = duration.expected_seconds(config, work_of_steps(config), torch.device("cuda"))
    assert seconds == pytest.approx(1e-3 * row["milliseconds"], rel=0.25)
