"""Rows of the ladder say which recipe was measured: that decides what roofline and plot make of them."""

from pathlib import Path

import pytest

from bench import rows
from bench.setups import paper_recipe, small_recipe
from bench.test_ladder import recipe_at


def test_the_papers_recipe_is_named_so() -> None:
    assert recipe_at(2, is_paper=True).recipe == paper_recipe().recipe == "paper"
    assert recipe_at(2, is_paper=True).model.scale == 2
    assert small_recipe().recipe == "small"


def test_rows_of_a_copy_that_is_no_checkout_name_the_commit_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is lent for minutes, to which files are copied."""
    monkeypatch.setattr(rows, "RESULTS", tmp_path / "bench" / "results")
    monkeypatch.setenv("FASTSR_COMMIT", "0123abc")
    about = rows.circumstances()
    assert (about["commit"], about["dirty"]) == ("0123abc", None)
    monkeypatch.delenv("FASTSR_COMMIT")
    assert rows.circumstances()["commit"] is None


def test_a_commit_that_is_told_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy may hold another history than its sources'."""
    monkeypatch.setenv("FASTSR_COMMIT", "0123abc")
    about = rows.circumstances()
    assert (about["commit"], about["dirty"]) == ("0123abc", None)
