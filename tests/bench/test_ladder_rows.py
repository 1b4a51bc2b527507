"""Rows of the ladder say which recipe was measured: that decides what roofline and plot make of them."""

from bench.setups import paper_recipe, small_recipe
from bench.test_ladder import recipe_at


def test_the_papers_recipe_is_named_so() -> None:
    assert recipe_at(2, is_paper=True).recipe == paper_recipe().recipe == "paper"
    assert recipe_at(2, is_paper=True).model.scale == 2
    assert small_recipe().recipe == "small"
