"""The speed of this machine, from which the time of a run is estimated."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fastsr.config.recipes import demo, esrgan, paper, real_esrgan
from fastsr.config.settings import TrainConfig
from fastsr.prediction.duration import matrix_speed, work_of_steps

PAUSE = 0.5
"""Seconds."""


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


def test_measuring_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert matrix_speed(torch.device("cpu"), None) > 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
