"""Training as a whole: a golden run, what it leaves behind, and what stops it."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastsr_kernels.cohort_loss import CohortLoss
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastsr.cohort.cohort import Forward
from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.training.run import Run
from fastsr.training.setup import prepare
from fastsr.training.telemetry import Telemetry
from fastsr.training.train import after_step, save, train
from tests.images import random_image

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny_cohort.json"


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """The tiny configuration with images to train and validate on."""
    for name, count, side in (("train", 3, 40), ("val", 2, 41)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.fromarray(random_image(side, side + 8, k)).save(tmp_path / name / f"{k}.png")
    return replace(
        tiny_config,
        images=replace(tiny_config.images, data=(tmp_path / "train",), val=(tmp_path / "val",)),
    )


def quiet() -> Console:
    return Console(quiet=True)


def rows(run: Run, kind: str) -> list[dict[str, Any]]:
    return [row for row in run.read_metrics() if row["kind"] == kind]


def test_golden_losses(config: TrainConfig) -> None:
    """Losses of a tiny cohort, kept in a file: a change that moves them changes what is trained, and must say so.

    To renew them: delete the file and run this test once.
    """
    # Adam turns rounding of tiny gradients into whole steps; a small learning rate keeps processors together.
    config = replace(config, optim=replace(config.optim, lr=1e-4))
    run = train(
        replace(config, cohort=CohortConfig(peers=3, variant="ml-star", mixing="ring")), quiet()
    )
    got = [
        {key: row[key] for key in ("step", "stage", "lr", "peers")} for row in rows(run, "train")
    ]
    if not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(got, indent=1) + "\n")
        pytest.fail("golden losses written; run again")
    want = json.loads(GOLDEN.read_text())
    assert [row["step"] for row in got] == [row["step"] for row in want] == [2, 3, 4, 6, 8, 9]
    for a, b in zip(got, want, strict=True):
        assert (a["stage"], a["lr"]) == (b["stage"], b["lr"])
        for peer_a, peer_b in zip(a["peers"], b["peers"], strict=True):
            assert peer_a == pytest.approx(peer_b, rel=5e-3, abs=2e-4), f"step {a['step']}"


def test_a_run_leaves_everything_behind(config: TrainConfig) -> None:
    run = train(config, quiet())
    names = {p.name for p in run.folder.iterdir()}
    assert names - {".lock"} == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "pictures",
        "tensorboard",
    }
    resolved = replace(config, output=replace(config.output, out=run.folder))
    assert from_toml(run.folder / "config.toml", TrainConfig()) == resolved
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["torch"] == torch.__version__
    assert [p.name for p in sorted(run.checkpoints.iterdir())] == [
        "step-00000004",
        "step-00000008",
        "step-00000009",
    ]
    for row in rows(run, "train"):
        stage = PRETRAINING_TERMS if row["stage"] == "pretraining" else TRAINING_TERMS
        terms = tuple(term.name for term in stage)
        assert [tuple(peer) for peer in row["peers"]] == [terms, terms]
        assert row["wall"]["steps_per_second"] > 0
    assert [(row["step"], list(row["scores"])) for row in rows(run, "validation")] == [
        (step, ["bicubic", "peer 0", "peer 1"]) for step in (4, 8, 9)
    ]


def test_pictures_show_low_resolution_peers_and_original(config: TrainConfig) -> None:
    run = train(config, quiet())
    assert [p.name for p in sorted(run.pictures.iterdir())] == [
        f"step-{s:08d}.png" for s in (4, 8, 9)
    ]
    picture = np.asarray(Image.open(run.pictures / "step-00000009.png"))
    original = random_image(41, 49, 0)[:40, :48]
    column = 6 + 3 * (192 + 6)  # the fourth column: LR, two peers, HR
    assert np.array_equal(picture[24 : 24 + 40, column : column + 48], original)
    assert not np.array_equal(picture[24 : 24 + 40, 6 : 6 + 48], original)


def test_tensorboard_has_every_metric_of_every_peer(config: TrainConfig) -> None:
    run = train(config, quiet())
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {
        f"{term.name}/peer {k}" for term in (*TRAINING_TERMS, *PRETRAINING_TERMS) for k in range(2)
    }
    assert tags >= {
        f"validation {what}/{who}"
        for what in ("PSNR", "SSIM")
        for who in ("bicubic", "peer 0", "peer 1")
    }
    assert events.Tags()["images"] == ["comparison"]
    (explained,) = events.Tensors("metrics/text_summary")
    text = explained.tensor_proto.string_val[0].decode()
    assert all(
        f"**{term.name}**: {term.meaning}" in text for term in (*TRAINING_TERMS, *PRETRAINING_TERMS)
    )
    logged = [
        row["peers"][1]["bce_fake"] for row in rows(run, "train") if row["stage"] == "training"
    ]
    assert [e.value for e in events.Scalars("bce_fake/peer 1")] == pytest.approx(logged, rel=1e-6)


def test_plain_output_names_what_matters(
    config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config, Console(width=400, force_terminal=False))
    out = capsys.readouterr().out
    parts = ("pretraining 2/9", "training 9/9", "steps/s", "left", "peer 1:", "D(real)", "KL fake")
    for part in (*parts, "validation 8/9", "bicubic", "done: step 9 of 9"):
        assert part in out


def test_terminal_output_shows_a_table_and_the_validation(config: TrainConfig) -> None:
    screen = (config.output.out or Path()).with_name("screen")
    with screen.open("w") as file:
        console = Console(force_terminal=True, width=160, record=True, file=file)
        train(config, console)
    text = console.export_text()
    for part in ("9/9", "steps/s", "D(fake)", "val PSNR", "dB"):
        assert part in text


def test_training_learns(config: TrainConfig) -> None:
    """Pre-training a slightly larger generator on three images lowers its loss several times."""
    optim = replace(config.optim, pretrain_steps=60, steps=0, lr=5e-3)
    model = replace(config.model, filters=16)
    run = train(
        replace(config, optim=optim, model=model, output=replace(config.output, log_every=20)),
        quiet(),
    )
    losses = [row["peers"][0]["pixel"] for row in rows(run, "train")]
    assert losses[-1] < losses[0] / 2


def test_independent_peers_do_not_feel_each_other(config: TrainConfig) -> None:
    """Peer 0 of an independent pair trains as it does alone, bit for bit: a cohort is a paired experiment."""
    results = []
    for peers in (1, 2):
        out = config.output.out or Path()
        output = replace(config.output, out=out.with_name(f"peers-{peers}"))
        run = train(
            replace(config, cohort=CohortConfig(peers=peers, variant="independent"), output=output),
            quiet(),
        )
        results.append([row["peers"][0] for row in rows(run, "train")])
    assert results[0] == results[1]


def test_mutual_learning_draws_discriminators_together(config: TrainConfig) -> None:
    divergence = {}
    for variant, weight in (("independent", 1.0), ("ml", 20.0)):
        out = config.output.out or Path()
        changed = replace(
            config,
            cohort=CohortConfig(variant=variant, kl_weight=weight),  # type: ignore[arg-type]
            optim=replace(config.optim, pretrain_steps=0, steps=60),
            output=replace(config.output, out=out.with_name(variant), log_every=60, val_every=1000),
        )
        run = train(changed, quiet())
        (row,) = rows(run, "train")
        divergence[variant] = abs(row["peers"][0]["d_prob_fake"] - row["peers"][1]["d_prob_fake"])
    assert divergence["ml"] < divergence["independent"]


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
    _, stage = training.stages
    with (
        Telemetry(training.run, quiet(), start=0, total=20) as telemetry,
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


def test_weights_that_are_not_finite_are_never_saved(config: TrainConfig) -> None:
    """A bad update at the last step before a checkpoint shows in no loss yet, but in the weights."""
    training = prepare(
        replace(config, optim=replace(config.optim, pretrain_steps=0, steps=20)), quiet()
    )
    _, stage = training.stages
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
    pretrain, adversarial = training.stages
    with (
        pytest.raises(UserError, match=r"run cannot be written \(.+\); free space, then --resume"),
        Telemetry(training.run, quiet(), start=0, total=9) as telemetry,
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
