"""Checkpoints: complete or not there, exact, and refused where they do not fit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.ring import MetricsRing
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.models.model_file import load_generator
from fastsr.models.weights import find_generators
from fastsr.training.checkpoint import load_checkpoint, save_checkpoint
from fastsr.training.run import Run
from fastsr.training.snapshot import optimizer_tensors
from tests.fastsr.training.trained import trained


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


def test_loss_scalers_go_on_where_they_were(tiny_config: TrainConfig, store: PixelStore) -> None:
    """Scale and growth tracker, of each peer and network others, in the tensors that a captured step reads."""
    cohort, ring, _ = trained(tiny_config, store, 2, scaled=True)
    scalers = [scaler for peer in cohort.peers for scaler in peer.scalers.values()]
    for k, scaler in enumerate(scalers):
        scaler.load_state_dict(
            {**scaler.state_dict(), "scale": 2.0 ** (5 + k), "_growth_tracker": 11 + k}
        )
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "", keep=3)
    again, ring_again, _ = trained(tiny_config, store, 0, scaled=True)
    homes = [tensor.data_ptr() for tensor in again.state()]
    load_checkpoint(run, again, ring_again, "")
    loaded = [scaler for peer in again.peers for scaler in peer.scalers.values()]
    assert [scaler.get_scale() for scaler in loaded] == [32, 64, 128, 256]
    assert [scaler.state_dict()["_growth_tracker"] for scaler in loaded] == [11, 12, 13, 14]
    assert [tensor.data_ptr() for tensor in again.state()] == homes


def test_a_run_that_was_not_scaled_may_be_continued_scaled(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "", keep=3)
    again, ring_again, step = trained(tiny_config, store, 0, scaled=True)
    before = [s.get_scale() for peer in again.peers for s in peer.scalers.values()]
    assert load_checkpoint(run, again, ring_again, "") == 1
    assert [s.get_scale() for peer in again.peers for s in peer.scalers.values()] == before
    step()


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


def test_what_a_killed_save_left_is_no_part_of_the_next(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    leftover = run.checkpoints / ".saving-00000001"
    leftover.mkdir()
    (leftover / "peer-9-ema.safetensors").write_text("half")
    checkpoint = save_checkpoint(run, cohort, ring, "", keep=2)
    assert not leftover.exists()
    assert not (checkpoint / "peer-9-ema.safetensors").exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
from tests.fastsr.training.trained import trained
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
    root = Path(__file__).parents[3]
    code = FULL_DISK.format(folder=str(tmp_path / "run"), root=str(root))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
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
        UserError, match=rf"{named}.*the one before it: --resume {run.folder} --from step-00000001"
    ) as caught:
        load_checkpoint(run, cohort, ring, "")
    assert "\n" not in str(caught.value)


def test_other_images_are_refused(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring, _ = trained(tiny_config, store, 1)
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    save_checkpoint(run, cohort, ring, "these", keep=3)
    with pytest.raises(UserError, match="images are not those"):
        load_checkpoint(run, cohort, ring, "those")
