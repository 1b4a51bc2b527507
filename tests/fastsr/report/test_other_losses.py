"""The words of a page where discriminators do not learn by binary cross entropy."""

from pathlib import Path

import pytest

from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, terms_of
from fastsr.config.settings import AdversarialName, LossConfig
from tests.fastsr.report.pages import page_of
from tests.fastsr.report.report_fixture import write_run

OTHERS: tuple[AdversarialName, ...] = ("lsgan", "relativistic")


def learning_by(folder: Path, name: AdversarialName) -> Path:
    run = write_run(folder / name, evaluated=False)
    file = run / "config.toml"
    was = 'adversarial = "vanilla"'
    assert was in file.read_text()
    file.write_text(file.read_text().replace(was, f'adversarial = "{name}"'))
    return run


@pytest.mark.parametrize("name", OTHERS)
def test_words_change_and_columns_stay(name: AdversarialName) -> None:
    terms = terms_of(LossConfig(adversarial=name), TRAINING_TERMS)
    assert [term.name for term in terms] == [term.name for term in TRAINING_TERMS]
    said = " ".join(f"{term.short} {term.meaning} {term.unit}" for term in terms)
    assert "BCE" not in said and "ln " not in said and "probability" not in said
    assert terms_of(LossConfig(), TRAINING_TERMS) == TRAINING_TERMS


def test_pixels_are_named_by_their_loss() -> None:
    (pixel,) = terms_of(LossConfig(pixel_loss="l1"), PRETRAINING_TERMS)
    assert (pixel.name, pixel.short) == ("pixel", "pixel L1")
    assert "absolute" in pixel.unit


@pytest.mark.parametrize("name", OTHERS)
def test_a_page_names_the_losses_that_were_trained(name: AdversarialName, tmp_path: Path) -> None:
    text = page_of(learning_by(tmp_path, name)).text
    assert "BCE" not in text and "cannot tell</" not in text
    assert f"With --adversarial {name} the probability is the sigmoid" in " ".join(text.split())


def test_runs_of_other_losses_do_not_share_an_axis(tmp_path: Path) -> None:
    page = page_of(learning_by(tmp_path, "lsgan"), write_run(tmp_path / "bce", evaluated=False))
    compared = page.source.partition('class="run"')[0]
    for title in ("BCE real", "Squares real", "BCE fake", "Squares fake"):
        assert compared.count(f"<figcaption>{title} ") == 1, title
    assert compared.count("<figcaption>KL real ") == 1
