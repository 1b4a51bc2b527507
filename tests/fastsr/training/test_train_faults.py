"""Trainings that stop: losses that are not finite, folders in use or full; and compiled ones."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fastsr_kernels.cohort_loss import CohortLoss
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastsr.cohort.cohort import Forward
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.training.setup import prepare
from fastsr.training.telemetry import Telemetry
from fastsr.training.train import after_step, save, train
from tests.fastsr.training.training_cases import quiet, rows


def test_losses_that_are_not_finite_stop_the_run_by_name(config: TrainConfig) -> None:
    """The step, the peer and the term are named, and the last good checkpoint is from the step before."""
    output = replace(config.output, log_every=5, save_every=1)
    training = prepare(
        replace(config, optim=replace(config.optim, pretrain_steps=0, steps=20), output=output),
        quiet(),
    )
    original = training.cohort.losses

    def poisoned(forward: Forward) -> CohortLoss:
        loss = original(forward)
        terms_P4 = loss.terms_P4.clone()
        terms_P4[1, 3] = (
            float("nan") if int(training.cohort.schedule.step_count) == 6 else terms_P4[1, 3]
        )
        return loss._replace(terms_P4=terms_P4)

    training.cohort.losses = poisoned  # type: ignore[method-assign]
    *_, stage = training.stages
    with (
        Telemetry(training.run, quiet(), training.config) as telemetry,
        pytest.raises(
            UserError,
            match=r"step 7: kl_fake of peer 1 is nan.* last good checkpoint is .*step-00000006",
        ),
    ):
        for _ in range(20):
            stage.body()
            training.step += 1
            after_step(training, telemetry)
    assert training.run.latest() == training.run.checkpoints / "step-00000006"


def test_a_run_that_could_not_be_continued_is_free_for_the_next_try(config: TrainConfig) -> None:
    """Also while somebody holds the error, as a notebook does."""
    run = train(config, quiet())
    again = replace(config, output=replace(config.output, resume=True))
    held: list[UserError] = []
    for images in (config.images.val, config.images.val):
        with pytest.raises(UserError, match="the images are not those") as caught:
            train(replace(again, images=replace(config.images, data=images)), quiet())
        held.append(caught.value)
    assert train(again, quiet()).folder == run.folder


def test_weights_that_are_not_finite_are_never_saved(config: TrainConfig) -> None:
    """A bad update at the last step before a checkpoint shows in no loss yet, but in the weights."""
    training = prepare(
        replace(config, optim=replace(config.optim, pretrain_steps=0, steps=20)), quiet()
    )
    *_, stage = training.stages
    stage.body()
    training.step = 1
    with torch.no_grad():
        training.cohort.peers[1].generator.output_conv.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(
        UserError, match=r"output_conv\.weight of the generator of peer 1 is not finite at step 1"
    ):
        save(training)
    assert training.run.latest() is None


def test_another_process_cannot_train_in_the_folder(config: TrainConfig) -> None:
    training = prepare(config, quiet())
    code = "import sys; from fastsr.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "--data", str(config.images.data[0]), "--out", str(training.run.folder), "--content", "pixel",
             "--scale", "2", "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16",
             "--batch", "2", "--steps", "1", "--cache", str(config.images.cache)]  # fmt: skip
    other = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert other.returncode == 2
    assert "is being trained by another process" in other.stderr
    training.run.close()
    assert subprocess.run([sys.executable, "-c", code, *words], capture_output=True).returncode == 0


@pytest.mark.parametrize("damaged", ["pictures", "tensorboard"])
def test_folders_that_cannot_be_written_are_told_in_one_line(
    config: TrainConfig, damaged: str
) -> None:
    """A full disk shows where pictures and TensorBoard are written, too; here a file stands in the folder's place."""
    training = prepare(config, quiet())
    if damaged == "pictures":
        training.run.pictures.rmdir()
    (training.run.folder / damaged).write_text("in the way")
    training.run.close()
    pretrain, *_, adversarial = training.stages
    with (
        pytest.raises(UserError, match=r"run cannot be written \(.+\); free space, then --resume"),
        Telemetry(training.run, quiet(), training.config) as telemetry,
    ):
        for _ in range(4):
            pretrain.body()
            training.step += 1
            if training.step == 3:
                adversarial.body()
            after_step(training, telemetry)


def test_tensorboard_keeps_the_step_that_a_run_is_continued_from(config: TrainConfig) -> None:
    part = replace(config, optim=replace(config.optim, steps=1))
    run = train(part, quiet())
    output = replace(config.output, out=run.folder, resume=True)
    train(replace(config, output=output), quiet())
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("bce_fake/peer 0")] == [4, 6, 8, 9]
    assert [e.step for e in events.Scalars("validation PSNR/peer 0")] == [4, 8, 9]


def test_compiled_training_equals_eager_training(config: TrainConfig) -> None:
    """One real compilation, on the CPU: the same losses up to rounding, and clean names in the checkpoint."""
    results = []
    for compiled in (False, True):
        out = (config.output.out or Path()).with_name(f"compiled-{compiled}")
        changed = replace(
            config,
            machine=replace(config.machine, compile=compiled),
            optim=replace(config.optim, lr=1e-4, pretrain_steps=1, steps=3),
            output=replace(config.output, out=out, log_every=1),
        )
        run = train(changed, quiet())
        results.append([peer for row in rows(run, "train") for peer in row["peers"]])
        assert not any(
            "_orig_mod" in key
            for key in load_file((run.latest() or Path()) / "peer-0-generator.safetensors")
        )
    for eager, fused in zip(*results, strict=True):
        assert fused == pytest.approx(eager, rel=2e-3, abs=1e-4)


@pytest.mark.gpu
def test_training_on_a_gpu(config: TrainConfig) -> None:
    machine = replace(config.machine, device="cuda", amp=True, compile=True)
    run = train(replace(config, machine=machine), quiet())
    assert all(
        math.isfinite(v)
        for row in rows(run, "train")
        for peer in row["peers"]
        for v in peer.values()
    )


@pytest.mark.parametrize("seed", range(4))
def test_nearly_black_images_are_no_dead_loss(
    config: TrainConfig, tmp_path: Path, seed: int
) -> None:
    """Stars: most patches of such images are black, and leave gradients of zero where nothing is wrong."""
    rng = np.random.default_rng(0)
    for k in range(2):
        sky = np.zeros((256, 256, 3), np.uint8)
        sky[tuple(rng.integers(0, 256, (2, 24)))] = 255
        Image.fromarray(sky).save(tmp_path / f"train/sky-{k}.png")
    for k in range(3):
        (tmp_path / f"train/{k}.png").unlink()
    prepare(replace(config, machine=replace(config.machine, seed=seed)), quiet()).run.close()
