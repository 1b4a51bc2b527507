"""The best checkpoint by validation: kept, told, found, and the same however often training was stopped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.models.weights import find_generator, find_generators
from fastsr.training.best import note_best
from fastsr.training.checkpoint import prune, save_checkpoint
from fastsr.training.run import Run
from fastsr.training.train import train
from tests.fastsr.training.trained import trained
from tests.fastsr.training.training_cases import quiet, rows


def validation(step: int, *psnr: float | None, bicubic: float = 99.0) -> dict[str, Any]:
    peers = {f"peer {k}": {"psnr": value, "ssim": 0.5} for k, value in enumerate(psnr)}
    scores = {"bicubic": {"psnr": bicubic, "ssim": 0.5}, **peers}
    return {"kind": "validation", "step": step, "scores": scores}


class Trial:
    """A run that is validated at every step, with scores as a test wants them."""

    def __init__(self, config: TrainConfig, store: PixelStore) -> None:
        self.cohort, self.ring, self.step = trained(config, store, 0)
        self.run = Run.start(config.output.out or Path(), config)

    def go(self, *scores: tuple[float | None, float | None]) -> None:
        for pair in scores:
            self.step()
            step = int(self.cohort.schedule.step_count)
            self.run.append_metrics(validation(step, *pair))
            note_best(self.run, step, self.save)
            prune(self.run, keep=1)
            self.save()

    def save(self) -> Path:
        return save_checkpoint(self.run, self.cohort, self.ring, "", keep=1)

    @property
    def best(self) -> dict[str, Any]:
        return json.loads((self.run.folder / "best.json").read_text())

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.run.checkpoints.iterdir())


@pytest.fixture
def trial(tiny_config: TrainConfig, store: PixelStore) -> Trial:
    return Trial(tiny_config, store)


def test_the_best_is_kept_beside_the_last(trial: Trial) -> None:
    trial.go((20.0, 21.0), (22.0, 25.0), (24.0, 24.5), (23.0, 21.0))
    bicubic = {"format": 1, "low_resolution": "bicubic"}
    assert trial.best == {**bicubic, "step": 2, "peer": 1, "psnr": 25.0}
    assert trial.kept == ["step-00000002", "step-00000004"]
    trial.go((26.0, 20.0), (25.0, 25.0))
    assert trial.best == {**bicubic, "step": 5, "peer": 0, "psnr": 26.0}
    assert trial.kept == ["step-00000005", "step-00000006"]


def test_of_equals_the_first_is_best_and_equal_images_are_better_than_any(trial: Trial) -> None:
    trial.go((20.0, 20.0), (20.0, 20.0))
    assert (trial.best["step"], trial.best["peer"]) == (1, 0)
    trial.go((20.0, None), (99.0, 99.0))
    assert (trial.best["step"], trial.best["peer"], trial.best["psnr"]) == (3, 1, None)


def test_what_is_cut_from_the_metrics_is_best_no_longer(trial: Trial) -> None:
    trial.go((20.0, 21.0), (22.0, 25.0))
    trial.run.cut_metrics(1)
    note_best(trial.run, 1)
    assert not (trial.run.folder / "best.json").exists()  # that of step 1 is deleted


def test_scores_on_other_images_are_not_compared(trial: Trial) -> None:
    """A run that is continued may be given other images: what bicubic scores on them tells."""
    trial.go((50.0, 49.0))
    trial.step()
    trial.run.append_metrics(validation(2, 20.0, 21.0, bicubic=19.5))
    note_best(trial.run, 2, trial.save)
    assert (trial.best["step"], trial.best["peer"], trial.best["psnr"]) == (2, 1, 21.0)


def test_best_and_latest_generators_are_found(trial: Trial) -> None:
    trial.go((20.0, 25.0), (22.0, 21.0))
    folder = trial.run.folder
    best, latest = (trial.run.checkpoint(f"step-0000000{k}") for k in (1, 2))
    assert {file.parent for file in find_generators(folder, which="best").values()} == {best}
    assert {file.parent for file in find_generators(folder).values()} == {latest}
    assert find_generator(folder, "best") == best / "peer-1-ema.safetensors"
    assert find_generator(folder) == latest / "peer-0-ema.safetensors"
    assert find_generator(folder, 1) == latest / "peer-1-ema.safetensors"
    with pytest.raises(UserError, match=r"no peer 2; use --peer with one of peer 0 and peer 1"):
        find_generator(folder, 2)
    (latest / "peer-0-ema.safetensors").unlink()
    with pytest.raises(UserError, match=r"has lost peer-0-ema\.safetensors"):
        find_generator(folder)


def test_a_run_without_validation_keeps_no_best(trial: Trial) -> None:
    trial.step()
    trial.save()
    with pytest.raises(UserError, match="keeps no best checkpoint"):
        find_generator(trial.run.folder, "best")


def test_training_saves_what_is_validated_best(config: TrainConfig) -> None:
    output = replace(config.output, save_every=100, val_every=2, keep=1)
    run = train(replace(config, output=output), quiet())
    scores = [
        (values["psnr"], -row["step"])
        for row in rows(run, "validation")
        for name, values in row["scores"].items()
        if name != "bicubic"
    ]
    best = json.loads((run.folder / "best.json").read_text())
    assert (best["psnr"], -best["step"]) == max(scores)
    steps = {best["step"], 9}
    assert {path.name for path in run.checkpoints.iterdir()} == {f"step-{s:08d}" for s in steps}


def test_the_best_is_kept_only_where_it_is_wanted(config: TrainConfig) -> None:
    output = replace(config.output, save_every=100, val_every=2, keep=1, keep_best=False)
    run = train(replace(config, output=output), quiet())
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000009"]
    assert not (run.folder / "best.json").exists()


def test_a_run_that_was_stopped_has_the_best_of_one_that_was_not(config: TrainConfig) -> None:
    output = replace(config.output, save_every=3, val_every=2, keep=1)
    whole = train(replace(config, output=output), quiet())
    out = config.output.out or Path()
    halves = replace(config, output=replace(output, out=out.with_name("halves")))
    for steps in (3, 4, 6):
        part = replace(halves, optim=replace(config.optim, steps=steps))
        run = train(replace(part, output=replace(part.output, resume=steps > 3)), quiet())
    best = [json.loads((one.folder / "best.json").read_text()) for one in (whole, run)]
    if best[0]["step"] not in (6, 7):  # where the first parts end, and are validated too
        assert best[0] == best[1]
    assert best[1]["psnr"] >= best[0]["psnr"]
