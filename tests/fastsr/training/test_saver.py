"""Checkpoints that a thread writes: training goes on, and they are what they would have been."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.cohort.ring import MetricsRing
from fastsr.config.settings import OutputConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.training import checkpoint
from fastsr.training.checkpoint import save_checkpoint
from fastsr.training.run import Run
from fastsr.training.saver import Saver
from fastsr.training.setup import prepare
from fastsr.training.snapshot import Snapshot, Twin
from fastsr.training.telemetry import Telemetry
from fastsr.training.train import after_step, save, train
from tests.fastsr.training.trained import trained
from tests.fastsr.training.training_cases import quiet, rows


class SlowDisk:
    """A disk that takes what it is given only when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        sync = checkpoint.sync

        def slow(path: Path) -> None:
            assert self.free.wait(60), "nobody let the disk go"
            sync(path)

        monkeypatch.setattr(checkpoint, "sync", slow)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


def contents(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{file.name}/{name}": value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


class Saved:
    """A cohort, and a run that it is saved in."""

    def __init__(self, config: TrainConfig, store: PixelStore, **output: Any) -> None:
        self.cohort: Cohort
        self.ring: MetricsRing
        self.cohort, self.ring, self.step = trained(config, store, 1)
        self.run = Run.start(config.output.out or Path(), config)
        self.saver = Saver(self.run, replace(OutputConfig(), **output))

    def begin(self) -> None:
        step = int(self.cohort.schedule.step_count)
        self.saver.begin(step, lambda: Snapshot.of(self.cohort, self.ring, "images"))

    @property
    def latest(self) -> Path:
        return self.run.checkpoint()

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.run.checkpoints.iterdir())


@pytest.fixture
def saved(tiny_config: TrainConfig, store: PixelStore) -> Saved:
    return Saved(tiny_config, store)


def test_steps_after_a_save_was_begun_do_not_reach_it(
    saved: Saved, disk: SlowDisk, tiny_config: TrainConfig, store: PixelStore, tmp_path: Path
) -> None:
    """Training goes on while the disk takes nothing, and the checkpoint is that of the step at which it began."""
    saved.begin()
    for _ in range(3):
        saved.step()
    assert saved.names != ["step-00000001"], "it has no name before the disk has it"
    disk.free.set()
    saved.saver.wait()
    other = Run.start(tmp_path / "other", tiny_config)
    whole = save_checkpoint(other, *trained(tiny_config, store, 1)[:2], "images", keep=3)
    want, got = contents(whole), contents(saved.latest)
    assert got.keys() == want.keys()
    assert [name for name in want if not torch.equal(got[name], want[name])] == []
    states = [json.loads((path / "state.json").read_text()) for path in (saved.latest, whole)]
    for state in states:
        del state["sha256"], state["checksum"]  # headers of files have their entries in any order
    assert states[0] == states[1]


def test_one_checkpoint_follows_the_other_and_old_ones_are_deleted(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    saved = Saved(tiny_config, store, keep=2)
    done: list[list[str]] = []
    for _ in range(3):
        saved.begin()
        saved.saver.follow(lambda: done.append(saved.names))
        saved.step()
    saved.saver.wait()
    one, two, three = (f"step-0000000{k}" for k in (1, 2, 3))
    assert done == [[one], [one, two], [two, three]]


def test_a_step_is_saved_once(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    saved.begin()
    saved.saver.wait()
    monkeypatch.setattr("fastsr.training.saver.write_checkpoint", lambda *_: pytest.fail("again"))
    saved.begin()
    saved.saver.wait()


@pytest.mark.parametrize("told", ["check", "wait", "next save"])
def test_an_error_of_the_thread_is_told_by_what_comes_next(
    saved: Saved, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """And nothing follows that takes the checkpoint for written, such as a best.json that names it."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastsr.training.checkpoint.save_tensors", full)
    followed: list[int] = []
    saved.begin()
    saved.saver.follow(lambda: followed.append(1))
    saved.saver.pool.submit(lambda: None).result()  # the thread is done
    saved.step()
    asked = {"check": saved.saver.check, "wait": saved.saver.wait, "next save": saved.begin}
    match = r"step-00000001 cannot be written \(.*No space left.*Free space, then --resume$"
    with pytest.raises(UserError, match=match) as error:
        asked[told]()
    assert "\n" not in str(error.value)
    assert (followed, saved.names) == ([], [])


def test_weights_that_are_not_finite_are_not_written(saved: Saved) -> None:
    with torch.no_grad():
        saved.cohort.peers[1].generator.trunk_conv.weight[0, 0, 0, 0] = float("nan")  # type: ignore[union-attr, index]
    saved.begin()
    with pytest.raises(
        UserError, match=r"trunk_conv.weight of the generator of peer 1 is not finite at step 1"
    ):
        saved.saver.wait()
    assert saved.names == []


def test_a_twin_shares_no_memory_and_is_filled_again(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, ring, step = trained(tiny_config, store, 1)
    compile_cohort(cohort)  # what is compiled in place is copied uncompiled
    twin = Twin(Snapshot.of(cohort, ring, ""))
    for _ in range(2):
        now = Snapshot.of(cohort, ring, "")
        copied = twin.fill(now)
        pairs = list(zip(now.tensors(), copied.tensors(), strict=True))
        assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs)
        assert all(a.stride() == b.stride() for a, b in pairs)
        for a, _ in pairs:
            a.data.add_(1)
    assert len(pairs) > 100
    assert step


@pytest.mark.parametrize(
    ("output", "due"),
    [
        ({"save_every": 4}, [4, 8]),
        ({"save_every": 4, "save_minutes": 0.05}, [4, 8]),
        ({"save_minutes": 0.05}, [3, 6, 9]),
        ({}, []),
    ],
    ids=["by steps", "steps win", "by time", "ten minutes"],
)
def test_saves_are_due_by_steps_or_by_time(
    saved: Saved, output: dict[str, Any], due: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that takes a second for each step."""
    now = [0.0]
    monkeypatch.setattr("fastsr.training.saver.time.monotonic", lambda: now[0])
    saver = Saver(saved.run, replace(OutputConfig(), **output))
    found: list[int] = []
    for step in range(1, 10):
        now[0] += 1
        if saver.is_due(step):
            found.append(step)
            saver.saved_at = now[0]
    assert found == due


def test_training_goes_on_while_a_slow_disk_takes_its_time(
    config: TrainConfig, disk: SlowDisk
) -> None:
    """Two steps are made, and their metrics written, between the beginning of a save and its end."""
    config = replace(
        config, output=replace(config.output, save_every=3, val_every=100, log_every=1)
    )
    training = prepare(replace(config, optim=replace(config.optim, pretrain_steps=0)), quiet())
    with Telemetry(training.run, quiet(), training.config) as telemetry:
        for _ in range(5):
            training.stage.body()
            training.step += 1
            after_step(training, telemetry)
        assert [row["step"] for row in rows(training.run, "train")] == [1, 2, 3, 4, 5]
        assert training.run.latest() is None
        disk.free.set()
        save(training)
    assert sorted(path.name for path in training.run.checkpoints.iterdir()) == [
        "step-00000003",
        "step-00000005",
    ]
    training.saver.close()


def test_a_full_disk_stops_training_with_one_line(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread's error, told by the main thread; the checkpoint before it is kept and named."""
    written: list[int] = []
    save_tensors: Callable[..., None] = checkpoint.save_tensors

    def filling(*arguments: Any) -> None:
        written.append(1)
        if len(written) > 9:
            raise OSError(28, "No space left on device")
        save_tensors(*arguments)

    monkeypatch.setattr(checkpoint, "save_tensors", filling)
    output = replace(config.output, save_every=1, val_every=100)
    with pytest.raises(
        UserError, match=r"No space left.*; the last good one is .*step-00000001\. Free space"
    ):
        train(replace(config, output=output), quiet())
