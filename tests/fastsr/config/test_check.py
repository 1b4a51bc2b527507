"""The limits of a configuration, and the naming of a setting that cannot be used."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from fastsr.config.check import check, warnings
from fastsr.config.networks import PeerConfig
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import (
    TrainConfig,
)
from fastsr.errors import UserError
from tests.fastsr.config.configurations import INF, NAN, changed

REFUSED: list[tuple[str, Any, str]] = [
    ("images.batch", 1, "use 2 or more"),
    ("images.batch", -4, "use 2 or more"),
    ("images.patch", 15, "use 16 or more"),
    ("images.patch", 98, "use a multiple of the scale, such as 96"),
    ("model.scale", 5, "use 1, 2, 3, 4 or 8"),
    ("model.scale", 1, "add --degrade light (or another), or given pairs by --lr-data"),
    ("model.channels", 0, "use 1 or more"),
    ("model.channels", 4, "use --content pixel"),
    ("images.bits", 12, "use 8 or 16"),
    ("model.blocks", 0, "use 1 or more"),
    ("model.filters", 0, "use 1 or more"),
    ("model.discriminator_filters", 0, "use 1 or more"),
    ("cohort.peers", 0, "use 1 or more"),
    ("cohort.kl_weight", -0.1, "use 0 or more"),
    ("cohort.kl_weight", NAN, "use 0 or more"),
    ("cohort.kl_weight", INF, "use"),
    ("cohort.temperature", (0.0,), "use a number above 0"),
    ("cohort.temperature", (-1.0,), "use a number above 0"),
    ("cohort.temperature", (INF,), "use a number above 0"),
    ("cohort.temperature", (NAN,), "use a number above 0"),
    ("cohort.temperature", (1.0, 1.0, 1.0), "give one for all, or one for each of 2 peers"),
    ("loss.content_weight", -1.0, "use 0 or more"),
    ("loss.content_weight", INF, "use"),
    ("loss.content_ratio", 0.0, "use a number above 0"),
    ("loss.content_ratio", INF, "use a number above 0"),
    ("loss.adversarial_weight", -1e-9, "use 0 or more"),
    ("loss.adversarial_weight", INF, "use"),
    ("optim.steps", -1, "use 0 or more"),
    ("optim.steps", 0, "train for at least one step"),
    ("optim.pretrain_steps", -1, "use 0 or more"),
    ("optim.lr", 0.0, "use a number between 0 and 1"),
    ("optim.lr", 1.0, "use a number between 0 and 1"),
    ("optim.lr", NAN, "use a number between 0 and 1"),
    ("optim.lr_milestones", (100, -5), "use"),
    ("optim.lr_gamma", 0.0, "use a number above 0, at most 1"),
    ("optim.lr_gamma", 1.5, "use a number above 0, at most 1"),
    ("optim.ema", 1.0, "use a number from 0 to below 1"),
    ("optim.ema", -0.1, "use a number from 0 to below 1"),
    ("machine.seed", -1, "use 0 or more"),
    ("machine.seed", 2**63, "below 2^63"),
    ("output.log_every", 0, "use 1 or more"),
    ("output.save_every", 0, "use 1 or more"),
    ("output.save_minutes", 0.0, "use a number above 0"),
    ("output.save_minutes", NAN, "use a number above 0"),
    ("output.val_every", 0, "use 1 or more"),
    ("output.keep", 0, "use 1 or more"),
]


@pytest.mark.parametrize(
    ("path", "value", "remedy"), REFUSED, ids=[f"{path}={value}" for path, value, _ in REFUSED]
)
def test_check_names_the_setting_its_value_and_the_remedy(
    path: str, value: Any, remedy: str
) -> None:
    config = changed(path, value, changed("cohort.variant", "ml-star"))
    with pytest.raises(UserError) as error:
        check(config)
    text = str(error.value)
    assert text.startswith(f"--{path.split('.')[1].replace('_', '-')} ")
    assert remedy in text
    assert "\n" not in text
    if not isinstance(value, tuple):
        assert f" {value} cannot be used" in text


ALLOWED: list[tuple[str, Any]] = [
    ("images.batch", 2),
    ("images.patch", 16),
    ("model.scale", 3),
    ("model.blocks", 1),
    ("model.filters", 1),
    ("model.discriminator_filters", 1),
    ("cohort.peers", 1),
    ("cohort.kl_weight", 0.0),
    ("cohort.temperature", (0.5,)),
    ("cohort.temperature", (0.5, 20.0)),
    ("loss.content_weight", 0.0),
    ("loss.adversarial_weight", 0.0),
    ("optim.steps", 1),
    ("optim.lr", 0.999),
    ("optim.lr_gamma", 1.0),
    ("optim.ema", 0.0),
    ("machine.seed", 2**63 - 1),
    ("output.log_every", 1),
    ("output.keep", 1),
]


@pytest.mark.parametrize(
    ("path", "value"), ALLOWED, ids=[f"{path}={value}" for path, value in ALLOWED]
)
def test_check_allows_the_limits_themselves(path: str, value: Any) -> None:
    config = changed(path, value, changed("cohort.variant", "ml-star"))
    assert check(config) is config


@pytest.mark.parametrize("recipe", [paper, demo])
def test_check_allows_every_recipe(recipe: Callable[[], TrainConfig]) -> None:
    config = recipe()
    assert check(config) is config
    assert config.recipe == recipe.__name__


def test_check_allows_pre_training_alone() -> None:
    config = changed("optim.pretrain_steps", 3, changed("optim.steps", 0))
    assert check(config).total_steps == 3


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("patch", [16, 17, 18, 19, 23, 100])
def test_the_remedy_for_a_patch_is_a_remedy(scale: int, patch: int) -> None:
    config = changed("images.patch", patch, changed("model.scale", scale))
    if patch % scale == 0:
        check(config)
        return
    with pytest.raises(
        UserError, match=f"--patch {patch} cannot be used; use a multiple of the scale"
    ) as error:
        check(config)
    (advised,) = re.findall(r"such as (\d+)", str(error.value))
    check(changed("images.patch", int(advised), config))


def test_total_steps_counts_pre_training() -> None:
    assert changed("optim.pretrain_steps", 7, changed("optim.steps", 5)).total_steps == 12


UNUSUAL = {
    "optim.lr": (0.9, 1e-2),
    "loss.content_weight": (1e30, 100.0),
    "loss.adversarial_weight": (1e30, 1.0),
    "cohort.kl_weight": (1e30, 100.0),
}


@pytest.mark.parametrize(("path", "values"), UNUSUAL.items(), ids=UNUSUAL.keys())
def test_unusual_values_are_warned_of_with_usual_ones(
    path: str, values: tuple[float, float]
) -> None:
    (warning,) = warnings(check(changed(path, values[0])))
    option = path.split(".")[1].replace("_", "-")
    assert warning.startswith(f"warning: --{option} {values[0]:g} is unusual; usual are ")
    assert warnings(changed(path, values[1])) == []


@pytest.mark.parametrize("recipe", [paper, demo])
def test_recipes_are_usual(recipe: Callable[[], TrainConfig]) -> None:
    assert warnings(recipe()) == []


def test_every_generator_has_something_to_learn_from() -> None:
    none, some = PeerConfig(content_weight=0.0, adversarial_weight=0.0), PeerConfig()
    with pytest.raises(UserError, match="--adversarial-weight of peer 1 are both 0"):
        check(changed("cohort.peer", (some, none)))
    idle = changed("loss.content_weight", 0.0, changed("loss.adversarial_weight", 0.0))
    with pytest.raises(UserError, match="--adversarial-weight are both 0"):
        check(idle)
    own = PeerConfig(content_weight=1.0), PeerConfig(adversarial_weight=1e-3)
    check(changed("cohort.peer", own, idle))
    with pytest.raises(UserError, match="of peer 0 are both 0"):
        factors = changed("cohort.adversarial_factors", (0.0, 1.0))
        check(changed("loss.content_weight", 0.0, factors))
    check(changed("optim.pretrain_steps", 5, changed("optim.steps", 0, idle)))


def test_teachers_that_begin_as_their_students_are_refused() -> None:
    """KL between equal discriminators on equal images is zero; others beside them teach."""
    with pytest.raises(
        UserError, match=r"peers 0 and 1 would begin with the same weights.* --starts"
    ):
        check(changed("cohort.starts", (3, 3)))
    check(changed("cohort.starts", (3, 3), changed("cohort.variant", "independent")))
    check(changed("cohort.starts", (3, 3), changed("cohort.kl", "one-outcome")))
    check(
        changed(
            "cohort.starts", (3, 3), changed("cohort.peer", (PeerConfig(blocks=2), PeerConfig()))
        )
    )
    check(changed("cohort.starts", (3, 3, 0), changed("cohort.peers", 3)))
