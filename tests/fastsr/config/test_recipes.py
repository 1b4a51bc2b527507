"""Recipes."""

from fastsr.config.check import check
from fastsr.config.recipes import demo, paper


def test_recipes() -> None:
    assert check(paper()) == paper()
    assert check(demo()) == demo()
    assert not demo().images.data
