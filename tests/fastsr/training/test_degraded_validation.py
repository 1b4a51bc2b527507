"""Validation on degraded images: the same ones at any time, and named wherever their scores are shown."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastsr.cli.info import run_facts
from fastsr.config.presets import light
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.from_python import evaluate
from fastsr.report.page import write_report
from fastsr.report.runs import Run as ReportedRun
from fastsr.report.runs import collect
from fastsr.training.sources import open_validation
from fastsr.training.train import train
from fastsr.training.words import outcome
from tests.fastsr.training.training_cases import quiet, rows

LABEL = "light with numbers"


@pytest.fixture
def blind(config: TrainConfig) -> TrainConfig:
    """With a range of its own, so that the preset's name alone does not tell what was done."""
    # Statistics of averages are of 400 patches, in batches of this size.
    images = replace(config.images, batch=32)
    optim = replace(config.optim, pretrain_steps=3, steps=1)
    degrade = replace(light(), context=8, noise_range=(4.0, 9.0))
    return replace(config, degrade=degrade, images=images, optim=optim)


def images_of(config: TrainConfig) -> list[np.ndarray]:
    return [pair.lr.numpy() for pair in open_validation(config)]


def alike(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_run_says_what_it_was_validated_on(blind: TrainConfig, tmp_path: Path) -> None:
    """Curves, best, table, page and TensorBoard name it, and `fastsr eval` finds the same scores."""
    run = train(blind, quiet())
    (row,) = rows(run, "validation")
    label = row["low_resolution"]
    assert label.startswith(LABEL) and label.endswith("seed 0")
    best = json.loads(run.best_file.read_text())
    assert best["low_resolution"] == label
    reported = collect(run.folder)
    assert isinstance(reported, ReportedRun)
    assert f"(low resolution {label})" in run_facts(reported)["best"]
    page = write_report((run.folder,), tmp_path / "page.html").read_text()
    assert f"Low resolution of the validation images: {label}." in page
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    outcome(run.read_metrics(), console)
    assert f"low resolution {label}" in console.export_text()
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert events.Scalars(f"validation PSNR (LR {label})/bicubic")
    scores = evaluate(
        run.folder,
        tmp_path / "val",
        tmp_path / "evaluation",
        metrics=("psnr", "ssim"),
        degrade=run.folder / "config.toml",
        device="cpu",
    )
    assert label in scores.protocol["low_resolution"]
    for name in ("bicubic", "peer 0", "peer 1"):
        assert scores.means["val"][name] == pytest.approx(row["scores"][name], rel=1e-6)


def test_images_are_the_same_in_runs_of_any_seed(blind: TrainConfig) -> None:
    other = replace(
        blind,
        machine=replace(blind.machine, seed=77),
        images=replace(blind.images, patch=20, batch=3),
    )
    degraded = images_of(blind)
    assert alike(images_of(other), degraded)
    reseeded = replace(blind, images=replace(blind.images, val_degrade_seed=1))
    bicubic = replace(blind, images=replace(blind.images, val_degrade="bicubic"))
    plain = replace(blind, degrade=replace(blind.degrade, degrade="bicubic"))
    assert not alike(images_of(reseeded), degraded)
    assert not alike(images_of(bicubic), degraded)
    assert alike(images_of(bicubic), images_of(plain))


def test_a_resumed_run_is_validated_as_before(blind: TrainConfig) -> None:
    """Where its first validation tells nothing, as those of older versions, its scores count no longer as the best."""
    run = train(blind, quiet())
    metrics = run.folder / "metrics.jsonl"
    before: dict[str, float] = {}
    rewritten = [json.loads(line) for line in metrics.read_text().splitlines()]
    for row in rewritten:
        if row["kind"] == "validation":
            del row["low_resolution"]
            before = row["scores"]["bicubic"]
            row["scores"]["peer 0"]["psnr"] = 99.0
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rewritten))
    longer = replace(
        blind,
        optim=replace(blind.optim, steps=3),
        output=replace(blind.output, resume=True),
    )
    found = rows(train(longer, quiet()), "validation")
    best = json.loads(run.best_file.read_text())
    assert best["low_resolution"].startswith(LABEL)
    assert best["step"] == 6 == found[-1]["step"]
    assert found[-1]["scores"]["bicubic"] == before
    page = write_report((run.folder,), run.folder / "page.html").read_text()
    assert f"bicubic, then {best['low_resolution']}; it was changed, and the curve with it" in page


def test_given_pairs(config: TrainConfig, tmp_path: Path) -> None:
    """Read, and named; files without a partner are listed."""
    low = tmp_path / "low"
    low.mkdir()
    for k in range(2):
        side = Image.open(tmp_path / "val" / f"{k}.png").size
        Image.new("RGB", (side[0] // 2, side[1] // 2), (9 * k, 0, 0)).save(low / f"{k}x2.png")
    given = replace(config, images=replace(config.images, val_lr_data=(low,)))
    assert [int(lr[0, 0, 0]) for lr in images_of(given)] == [0, 9]
    run = train(given, quiet())
    assert {row["low_resolution"] for row in rows(run, "validation")} == {"given"}
    (low / "1x2.png").unlink()
    with pytest.raises(UserError, match="1 files of --val and --val-lr-data"):
        open_validation(given)
    lonely = replace(given, images=replace(given.images, val=()))
    with pytest.raises(UserError, match="needs --val"):
        open_validation(lonely)
