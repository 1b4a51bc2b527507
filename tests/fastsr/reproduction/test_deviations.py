"""What differs from the paper: no setting that could change a result is forgotten."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fastsr.config.recipes import paper
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.reproduction.deviations import OPEN, SAME, SECTIONS, TEMPERATURE, deviations
from fastsr.reproduction.paper import three_pairs

ALL = [f"{section}.{one.name}" for section in SECTIONS for one in fields(getattr(paper(), section))]


def on_div2k(config: TrainConfig) -> TrainConfig:
    return replace(config, images=replace(config.images, data=(Path("/DIV2K/DIV2K_train_HR"),)))


def changed(name: str) -> TrainConfig:
    """The paper's experiment with another value of one setting."""
    config = on_div2k(replace(paper(), cohort=three_pairs()))
    section, field = name.split(".")
    value: Any = getattr(getattr(config, section), field)
    other = (not value) if isinstance(value, bool) else value * 2 if value else 7
    return replace(config, **{section: replace(getattr(config, section), **{field: other})})


def test_the_papers_experiment_deviates_in_nothing() -> None:
    assert deviations(on_div2k(paper())) == []
    assert deviations(on_div2k(replace(paper(), cohort=three_pairs()))) == []


@pytest.mark.parametrize("name", sorted(set(ALL) - SAME))
def test_every_other_setting_is_told(name: str) -> None:
    (note,) = deviations(changed(name))
    assert note.endswith("for what the paper leaves open") == (name in OPEN)


def test_settings_are_named_as_they_are() -> None:
    assert set(ALL) >= SAME and set(ALL) >= OPEN - {TEMPERATURE}


def test_what_the_audit_missed() -> None:
    """It called an adversarial weight of 0.5, a lambda of 9 and no augmentation nothing."""
    config = on_div2k(paper())
    config = replace(
        config,
        images=replace(config.images, augment=False),
        cohort=CohortConfig(kl_weight=9, temperature=(1, 1, 1, 1, 2, 2)),
        loss=replace(config.loss, adversarial_weight=0.5),
    )
    opened = "our default for what the paper leaves open"
    assert deviations(config) == [
        f"turned and mirrored patches: no, not yes, {opened}",
        f"weight lambda of the divergence: 9, not 1, {opened}",
        f"adversarial weight: 0.5, not 0.001, {opened}",
        f"temperature of ML*: 2, not 4, {opened}",
    ]


def test_what_the_paper_states_comes_first_and_what_is_missing_last() -> None:
    config = paper()
    small = TrainConfig(
        model=replace(config.model, blocks=4),
        optim=replace(config.optim, steps=10, lr=1e-3, lr_milestones=(3,)),
    )
    assert deviations(small, ["pi"]) == [
        "trained on sample photos, not on DIV2K",
        "residual blocks: 4, not 32",
        "adversarial steps: 10, not 50000",
        "learning rate: 0.001, not 0.0001, our default for what the paper leaves open",
        "the learning rate is multiplied by 0.1 at steps 3",
        "PI is not measured",
    ]
