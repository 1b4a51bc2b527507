"""The measured content weight: that it balances, changes nothing else, is kept, and can be stated instead."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastsr.cohort.balance import balance, is_measured
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import content_loss, unloaded_content
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import LossConfig, TrainConfig
from fastsr.config.toml import from_toml, to_toml
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import ASIDE, PatchSampler
from fastsr.errors import UserError
from fastsr.system.precision import Precision
from fastsr.training.run import Run
from fastsr.training.train import train
from tests.images import random_image

CPU = torch.device("cpu")
FEATURES = LossConfig(content="random-vgg", content_ratio=7)


def cohort_of(config: TrainConfig, loss: LossConfig) -> Cohort:
    return Cohort(replace(config, loss=loss), content_loss(loss), CPU, Precision())


def patches_of(store: PixelStore) -> PatchSampler:
    return PatchSampler(store, scale=2, patch=16, batch=2, seed=1)


def test_weighted_content_is_the_wanted_multiple_and_nothing_else_changes(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, patches = cohort_of(tiny_config, FEATURES), patches_of(store)
    step = Step(cohort, patches, MetricsRing(2, 2, CPU))
    step()
    before = [tensor.clone() for tensor in cohort.state()]
    home = cohort.content_weight.data_ptr()
    weight = balance(cohort, patches)
    assert all(torch.equal(a, b) for a, b in zip(before, cohort.state(), strict=True))
    assert (float(cohort.content_weight), cohort.content_weight.data_ptr()) == (weight, home)
    forwards = [cohort.forward(*patches.draw_aside(ASIDE + k)) for k in range(8)]
    content = torch.stack([forward.content_P for forward in forwards]).mean()
    adversarial = torch.stack([cohort.losses(forward).adversarial_P for forward in forwards]).mean()
    assert weight * float(content) == pytest.approx(7 * 1e-3 * float(adversarial), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "measured", "until_then"),
    [
        (LossConfig(content="vgg54"), True, 1.0),
        (LossConfig(content="random-vgg"), True, 1.0),
        (LossConfig(content="pixel"), False, 1.0),
        (LossConfig(content="vgg54", content_weight=2.5), False, 2.5),
        (LossConfig(content="vgg54", adversarial_weight=0), False, 1.0),
    ],
)
def test_when_the_weight_is_measured(
    tiny_config: TrainConfig, loss: LossConfig, measured: bool, until_then: float
) -> None:
    assert is_measured(loss) == measured
    cohort = Cohort(
        replace(tiny_config, loss=loss),
        unloaded_content(LossConfig(content="pixel")),
        CPU,
        Precision(),
    )
    assert float(cohort.content_weight) == until_then


def test_a_content_loss_of_zero_cannot_be_balanced(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    config = replace(tiny_config, loss=FEATURES)
    content = unloaded_content(LossConfig(content="random-vgg"))
    for parameter in content.parameters():
        parameter.zero_()
    cohort = Cohort(config, content, CPU, Precision())
    with pytest.raises(
        UserError, match="the content loss is 0, which no weight balances; set --content-weight"
    ):
        balance(cohort, patches_of(store))


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    (tmp_path / "images").mkdir()
    Image.fromarray(random_image(40, 50)).save(tmp_path / "images/0.png")
    images = replace(tiny_config.images, data=(tmp_path / "images",))
    return replace(tiny_config, images=images, loss=FEATURES)


def continued(config: TrainConfig, name: str, *ends: int) -> Run:
    """Trains to each of some steps, one process of training after the other."""
    out = (config.output.out or Path()).with_name(name)
    for end in ends:
        output = replace(config.output, out=out, resume=True)
        run = train(
            replace(config, optim=replace(config.optim, steps=end - 3), output=output),
            Console(quiet=True),
        )
        run.close()
    return Run(out)


def weights(run: Run) -> list[Any]:
    return [row.get("content_weight") for row in run.read_metrics()]


def test_the_weight_is_kept_and_told(config: TrainConfig) -> None:
    """Measured once, also where a run stops just before the adversarial stage (step 3), or in it (step 5)."""
    whole = continued(config, "whole", 9)
    first, *others = weights(whole)[2:]
    assert weights(whole)[:2] == [None, None], "pre-training has no content loss"
    assert first not in (None, 1.0) and others == [first] * len(others)
    assert (
        json.loads((whole.checkpoints / "step-00000009/state.json").read_text())["content_weight"]
        == first
    )
    events = EventAccumulator(str(whole.folder / "tensorboard"))
    events.Reload()
    assert {event.value for event in events.Scalars("machine/content weight")} == {first}
    for end in (3, 5):
        stopped = continued(config, f"stopped-{end}", end, 9)
        last, want = ({**run.read_metrics()[-1], "wall": None} for run in (stopped, whole))
        assert last == want


def test_auto_and_numbers_in_files(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for weight in ("auto", 2.5):
        config = TrainConfig(loss=LossConfig(content_weight=weight))  # type: ignore[arg-type]
        file.write_text(to_toml(config))
        assert from_toml(file, TrainConfig()) == config
    file.write_text("[loss]\ncontent_weight = 3\n")
    assert from_toml(file, TrainConfig()).loss.content_weight == 3.0
    file.write_text('[loss]\ncontent_weight = "much"\n')
    with pytest.raises(
        UserError, match=r'content_weight = "much" cannot be used; use float or auto'
    ):
        from_toml(file, TrainConfig())
