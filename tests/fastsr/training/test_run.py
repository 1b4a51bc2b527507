"""Runs and checkpoints: all or nothing, exact in and out, and clear words where something is wrong."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.models.weights import find_generators, load_generator
from fastsr.system.precision import Precision
from fastsr.training.checkpoint import (
    assert_finite,
    load_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from fastsr.training.run import Run, fresh_folder, latest_folder
from fastsr.training.setup import existing_run

CPU = torch.device("cpu")


def trained(
    config: TrainConfig, store: PixelStore, steps: int, scaled: bool = False
) -> tuple[Cohort, MetricsRing, Step]:
    cohort, ring = (
        Cohort(config, PixelContent(), CPU, Precision(scaled=scaled)),
        MetricsRing(2, 2, CPU),
    )
    step = Step(cohort, PatchSampler.from_config(store, config), ring)
    for _ in range(steps):
        step()
    return cohort, ring, step


def everything(cohort: Cohort, ring: MetricsRing) -> dict[str, torch.Tensor]:
    state = {"ring": ring.rows_RPT, "step": cohort.schedule.step_count, "lr": cohort.schedule.lr}
    for k, peer in enumerate(cohort.peers):
        for name, network in peer.networks.items():
            state |= {f"{k}.{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in peer.optimizers.items():
            state |= {
                f"{k}.{name}.adam.{key}": value
                for key, value in optimizer_tensors(optimizer).items()
            }
    return state


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_a_checkpoint_holds_everything(
    tiny_config: TrainConfig, store: PixelStore, scaled: bool
) -> None:
    cohort, ring, step = trained(tiny_config, store, 3, scaled)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "images", keep=3)
    again, ring_again, step_again = trained(tiny_config, store, 0, scaled)
    assert load_checkpoint(run, again, ring_again, "images") == 3
    assert_same(everything(cohort, ring), everything(again, ring_again))
    for body in (step, step_again):
        body()
        body()
    assert_same(everything(cohort, ring), everything(again, ring_again))
    layout = [
        p.generator.trunk_conv.weight.is_contiguous(memory_format=torch.channels_last)
        for p in again.peers
    ]
    states = [p.g_optimizer.state[p.generator.trunk_conv.weight]["exp_avg"] for p in again.peers]
    assert all(layout) and all(s.is_contiguous(memory_format=torch.channels_last) for s in states)


def test_only_the_newest_checkpoints_are_kept(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring, step = trained(tiny_config, store, 0)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    for _ in range(4):
        step()
        save_checkpoint(run, cohort, ring, "", keep=2)
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-00000003", "step-00000004"]


def test_unfinished_saves_are_no_checkpoints(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "", keep=2)
    for leftover in (".saving-00000002", ".deleting-step-00000000"):
        (run.checkpoints / leftover).mkdir()
    assert run.latest() == run.checkpoints / "step-00000001"
    load_checkpoint(run, cohort, ring, "")
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-00000001"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_run import trained
from tests.images import random_image
import torch
from fastsr.config.settings import *
from fastsr.data.pixels import PixelStore
from fastsr.training.checkpoint import save_checkpoint
from fastsr.training.run import Run
from fastsr.errors import UserError
model = ModelConfig(scale=2, blocks=1, filters=4, discriminator_filters=2)
config = TrainConfig(images=ImagesConfig(batch=2, patch=16), model=model)
cohort, ring, step = trained(config, PixelStore.from_images([random_image(40, 40)]), 1)
run = Run.start(Path({folder!r}), config)
save_checkpoint(run, cohort, ring, "", keep=3)
step()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(run, cohort, ring, "", keep=3)
except UserError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """A real failing write, by a limit on file sizes, in a process of its own."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    code = FULL_DISK.format(folder=str(tmp_path / "run"), tests=str(here))
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.strip().splitlines()
    assert "step-00000002 cannot be written" in line
    assert "the last good one is" in line and "step-00000001" in line and "--resume" in line
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000001"]
    assert load_generator(next(iter(find_generators(tmp_path / "run").values()))).scale == 2


def damage_truncate(checkpoint: Path) -> None:
    file = checkpoint / "peer-1-discriminator.safetensors"
    file.write_bytes(file.read_bytes()[:500])


def damage_missing(checkpoint: Path) -> None:
    (checkpoint / "peer-0-ema.safetensors").unlink()


def damage_state(checkpoint: Path) -> None:
    (checkpoint / "state.json").write_text('{"step": 1')


def damage_shape(checkpoint: Path) -> None:
    file = checkpoint / "peer-0-generator-adam.safetensors"
    save_file(
        {
            name: value[:1].clone() if value.ndim else value
            for name, value in load_file(file).items()
        },
        file,
    )


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_truncate, "peer-1-discriminator"),
        (damage_missing, "peer-0-ema"),
        (damage_state, "state.json"),
        (damage_shape, "peer-0-generator-adam"),
    ],
    ids=["truncated", "missing", "state", "shape"],
)
def test_damaged_checkpoints_are_named_with_a_way_back(
    tiny_config: TrainConfig, store: PixelStore, damage, named: str
) -> None:  # type: ignore[no-untyped-def]
    cohort, ring, step = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "", keep=3)
    step()
    damage(save_checkpoint(run, cohort, ring, "", keep=3))
    with pytest.raises(
        UserError, match=rf"{named}.*delete .*step-00000002 to continue from step-00000001"
    ) as caught:
        load_checkpoint(run, cohort, ring, "")
    assert "\n" not in str(caught.value)


def test_other_images_are_refused(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "these", keep=3)
    with pytest.raises(UserError, match="images are not those"):
        load_checkpoint(run, cohort, ring, "those")


def test_a_run_is_not_started_over_another(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    assert existing_run(tiny_config) is None, "a folder without a checkpoint holds no run"
    save_checkpoint(run, cohort, ring, "", keep=3)
    with pytest.raises(UserError, match="--resume"):
        existing_run(tiny_config)
    with pytest.raises(UserError, match="trained by another process"):
        Run.start(run.folder, tiny_config)
    run.close()
    with pytest.raises(UserError, match="--resume"):
        Run.start(run.folder, tiny_config)
    resumed = replace(tiny_config, output=replace(tiny_config.output, resume=True))
    assert existing_run(resumed) is not None


def test_settings_that_would_change_the_experiment_are_named(tiny_config: TrainConfig) -> None:
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    run.check_same(tiny_config)
    run.check_same(
        replace(
            tiny_config,
            optim=replace(tiny_config.optim, steps=9),
            machine=replace(tiny_config.machine, compile=True),
        )
    )
    with pytest.raises(UserError, match=r"--lr was 0.001 .* is 0.1 now"):
        run.check_same(replace(tiny_config, optim=replace(tiny_config.optim, lr=0.1)))
    with pytest.raises(UserError, match="--blocks was 1"):
        run.check_same(replace(tiny_config, model=replace(tiny_config.model, blocks=2)))


def test_weights_that_are_not_finite_are_never_saved(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, _, _ = trained(tiny_config, store, 0)
    assert_finite(cohort)
    with torch.no_grad():
        cohort.peers[1].ema.trunk_norm.running_var[0] = float("inf")  # type: ignore[index]
    with pytest.raises(UserError, match=r"trunk_norm\.running_var of the ema of peer 1"):
        assert_finite(cohort)


def test_metrics_survive_a_torn_line(tiny_config: TrainConfig) -> None:
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    for step in (1, 2, 3):
        run.append_metrics({"step": step, "x": 1 / 3})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 4, "x"')
    assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
    run.cut_metrics(2)
    assert [json.loads(line) for line in run.metrics_file.read_text().splitlines()] == [
        {"step": s, "x": 1 / 3} for s in (1, 2)
    ]


def test_generators_are_found_by_run_checkpoint_and_file(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    checkpoint = save_checkpoint(run, cohort, ring, "", keep=3)
    file = checkpoint / "peer-1-ema.safetensors"
    assert find_generators(run.folder) == find_generators(checkpoint)
    assert list(find_generators(run.folder)) == ["peer 0", "peer 1"]
    assert find_generators(file) == {"peer-1-ema": file}
    loaded = load_generator(file)
    assert (loaded.scale, loaded.block_count, loaded.filters, loaded.training) == (2, 1, 4, False)
    x = torch.rand(1, 3, 9, 7)
    torch.testing.assert_close(loaded(x), cohort.peers[1].ema(x))


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.trace),))


def test_models_that_are_not_ours_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    (tmp_path / "bomb.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    for name in ("bomb.safetensors", "bomb.pth", "foreign.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match=name):
            load_generator(tmp_path / name)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(UserError, match="holds no checkpoint"):
        find_generators(tmp_path)


def test_folders_get_fresh_names_and_the_latest_is_found(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    names = []
    for _ in range(3):
        folder = fresh_folder(tiny_config, tmp_path)
        folder.mkdir()
        names.append(folder.name)
    assert names == ["tiny-x2", "tiny-x2-2", "tiny-x2-3"]
    assert latest_folder(tmp_path) is None
    for age, name in ((200, "tiny-x2-3"), (100, "tiny-x2")):
        checkpoint = tmp_path / name / "checkpoints" / "step-00000001"
        checkpoint.mkdir(parents=True)
        os.utime(checkpoint, (1e9 - age, 1e9 - age))
    assert latest_folder(tmp_path) == tmp_path / "tiny-x2"
