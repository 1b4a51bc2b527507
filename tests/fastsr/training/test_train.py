"""Training, from images to a run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import from_toml
from fastsr.training.train import train
from tests.fastsr.training.training_cases import quiet, rows
from tests.images import random_image

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny_cohort.json"


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
        "best.json",
        "metrics.jsonl",
        "checkpoints",
        "pictures",
        "tensorboard",
    }
    resolved = replace(config, output=replace(config.output, out=run.folder))
    assert from_toml(run.folder / "config.toml", TrainConfig()) == resolved
    (session,) = json.loads((run.folder / "environment.json").read_text())
    assert session["torch"] == torch.__version__
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
    output = replace(config.output, verbose=True)
    train(replace(config, output=output), Console(width=400, force_terminal=False))
    out = capsys.readouterr().out
    parts = ("pretraining 2/9", "training 9/9", "steps/s", "left", "peer 1:", "D(real)", "KL fake")
    for part in (*parts, "validation 8 ", "bicubic", "done: step 9 of 9"):
        assert part in out


def test_plain_lines_are_short(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a row: step, speed, time left, and of each peer the losses that G and D minimise."""
    train(config, Console(width=80, force_terminal=False))
    lines = capsys.readouterr().out.splitlines()
    number = r"[\d.]+(e-\d+)?"
    head = rf"(\d)/9  {number} (steps/s|s/step)  \d+:\d\d left"
    pretraining = [
        line for line in lines if re.fullmatch(rf"pretraining {head}  G {number} {number}", line)
    ]
    losses = rf"G ({number}) ({number})  D ({number}) ({number})"
    training = [m for line in lines if (m := re.fullmatch(rf"training {head}  {losses}", line))]
    assert (len(pretraining), len(training)) == (2, 4)
    assert max(map(len, lines)) <= 80 + len(str(config.output.out))


def test_terminal_output_shows_a_table_and_the_validation(config: TrainConfig) -> None:
    screen = (config.output.out or Path()).with_name("screen")
    with screen.open("w") as file:
        console = Console(force_terminal=True, width=160, record=True, file=file)
        train(config, console)
    text = console.export_text()
    for part in ("9/9", "steps/s", "D(fake)", "val PSNR", "@ 9", "validation 9 ", "dB"):
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
