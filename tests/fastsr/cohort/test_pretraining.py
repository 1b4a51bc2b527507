"""Peers that begin alike are pre-trained once for all of them: the same numbers, with less work."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.models.tensors import save_tensors
from fastsr.prediction.flops import FlopCount
from fastsr.reproduction.paper import three_pairs
from fastsr.system.precision import Precision
from fastsr.training.run import Run
from fastsr.training.setup import prepare
from fastsr.training.train import save, train
from tests.fastsr.config.configurations import changed
from tests.images import random_image

CPU = torch.device("cpu")


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    (tmp_path / "images").mkdir()
    Image.fromarray(random_image(40, 50)).save(tmp_path / "images/0.png")
    images = replace(tiny_config.images, data=(tmp_path / "images",), val=(tmp_path / "images",))
    return replace(tiny_config, cohort=three_pairs(), images=images)


def trained(
    config: TrainConfig, store: PixelStore, shared: bool, precision: Precision
) -> tuple[list[Tensor], int]:
    """Everything that three steps of pre-training and two others leave, and the operations of a step of the former."""
    cohort = Cohort(config, PixelContent(), CPU, precision)
    if not shared:
        cohort.pretrained_by = list(range(6))
    sampler, ring = PatchSampler(store, scale=2, patch=16, batch=2, seed=1), MetricsRing(9, 6, CPU)
    pretrain, step = PretrainStep(cohort, sampler, ring), Step(cohort, sampler, ring)
    with FlopCount() as count:
        pretrain()
    for _ in range(2):
        pretrain()
    cohort.share_pretraining()
    for _ in range(2):
        step()
    return step.state(), count.total


@pytest.mark.parametrize(
    "precision", [Precision(), Precision(dtype=torch.bfloat16)], ids=["fp32", "bf16"]
)
def test_shared_pretraining_equals_every_peers_own(
    tiny_config: TrainConfig, store: PixelStore, precision: Precision
) -> None:
    """Bit for bit, optimisers, averages and the metrics of every step included; for a third of the work."""
    config = replace(tiny_config, cohort=three_pairs())
    (shared, work), (own, all_work) = (
        trained(config, store, how, precision) for how in (True, False)
    )
    assert len(shared) == len(own) > 300
    assert [
        i for i, (a, b) in enumerate(zip(shared, own, strict=True)) if not torch.equal(a, b)
    ] == []
    assert work * 3 == all_work


def tensors(run: Run) -> dict[str, Tensor]:
    checkpoint = run.latest()
    assert checkpoint is not None
    return {
        f"{f.name}/{n}": v
        for f in checkpoint.glob("*.safetensors")
        for n, v in load_file(f).items()
    }


def test_checkpoints_and_validations_within_pretraining_show_all_peers(config: TrainConfig) -> None:
    """A run that stops and goes on amid pre-training (step 2) ends like one that does not."""
    optim, output = (
        replace(config.optim, pretrain_steps=4, steps=2),
        replace(config.output, val_every=2, save_every=99),
    )
    config = replace(config, optim=optim, output=output)
    whole = train(config, Console(quiet=True))
    first = next(row for row in whole.read_metrics() if row["kind"] == "validation")
    scores = list(first["scores"].values())[1:]
    assert scores[:2] == scores[2:4] == scores[4:] and scores[0] != scores[1]

    output = replace(output, out=whole.folder.with_name("stopped"))
    training = prepare(replace(config, output=output), Console(quiet=True))
    for _ in range(2):
        training.stage.body()
        training.step += 1
    save(training)
    training.run.close()
    run = train(replace(config, output=replace(output, resume=True)), Console(quiet=True))
    a, b = tensors(run), tensors(whole)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_peers_that_began_with_other_discriminators_stay_apart_without_the_files(
    config: TrainConfig,
) -> None:
    """--init-discriminator has no effect on a run that is continued: not on who is pre-trained for whom either."""
    cohort = CohortConfig(peers=2, starts=(0, 0), variant="independent")
    optim = replace(config.optim, pretrain_steps=2, steps=2)
    config = replace(config, cohort=cohort, optim=optim)
    out = config.output.out or Path()
    files: list[Path] = []
    for seed in (5, 6):
        discriminator = (
            Cohort(changed("machine.seed", seed, config), PixelContent(), CPU, Precision())
            .peers[0]
            .discriminator
        )
        files.append(out.with_name(f"{seed}.safetensors"))
        save_tensors(discriminator.state_dict(), files[-1])
    begun = changed("model.init_discriminator", tuple(files), config)
    whole = train(begun, Console(quiet=True))

    training = prepare(changed("output.out", out.with_name("stopped"), begun), Console(quiet=True))
    training.stage.body()
    training.step += 1
    save(training)
    training.run.close()
    output = replace(config.output, out=training.run.folder, resume=True)
    run = train(replace(config, output=output), Console(quiet=True))
    a, b = tensors(run), tensors(whole)
    name = "discriminator.safetensors/convs.0.weight"
    assert not torch.equal(b[f"peer-0-{name}"], b[f"peer-1-{name}"])
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
