"""The folder of a run."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fastsr.config.presets import preset
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.models.model_file import load_generator
from fastsr.models.weights import find_generators
from fastsr.training.checkpoint import prune, save_checkpoint
from fastsr.training.continued import existing_run
from fastsr.training.run import Run, fresh_folder, latest_folder
from fastsr.training.snapshot import Snapshot, assert_finite
from tests.fastsr.config.configurations import changed
from tests.fastsr.training.trained import trained


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


def test_settings_without_effect_may_differ(tiny_config: TrainConfig) -> None:
    """Where LR is bicubic, those of degradations: config.toml does not keep them."""
    idle = changed("degrade.context", 16, tiny_config)
    run = Run.start(tiny_config.output.out or Path(), idle)
    run.check_same(idle)
    with pytest.raises(UserError, match="--degrade was bicubic"):
        run.check_same(replace(tiny_config, degrade=preset("light")))


def test_a_deletion_that_was_cut_short_is_no_hindrance(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for name in ("step-00000001", ".deleting-step-00000001", "step-00000002"):
        (run.checkpoints / name).mkdir(parents=True)
        (run.checkpoints / name / "state.json").write_text("{}")
    prune(run, keep=1)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000002"]


def test_weights_that_are_not_finite_are_never_saved(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort, ring, _ = trained(tiny_config, store, 0)
    assert_finite(Snapshot.of(cohort, ring, ""))
    with torch.no_grad():
        cohort.peers[1].ema.trunk_norm.running_var[0] = float("inf")  # type: ignore[index]
    with pytest.raises(UserError, match=r"trunk_norm\.running_var of the ema of peer 1"):
        assert_finite(Snapshot.of(cohort, ring, ""))


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


def test_environments_are_a_history(tiny_config: TrainConfig) -> None:
    """Each session adds its command, versions and time; a file of an earlier version is one session."""
    run = Run.start(tiny_config.output.out or Path(), tiny_config)
    run.describe(tiny_config)
    file = run.folder / "environment.json"
    first, second = json.loads(file.read_text())
    assert first["torch"] == second["torch"] == torch.__version__
    assert first["command"] and first["time"] <= second["time"]
    file.write_text(json.dumps({"torch": "1.0", "command": ["fastsr", "train"]}))
    run.describe(tiny_config)
    old, new = json.loads(file.read_text())
    assert (old["torch"], new["torch"]) == ("1.0", torch.__version__)
    file.write_text("[1")
    with pytest.raises(UserError, match=r"environment\.json is damaged .*; restore or delete it"):
        run.describe(tiny_config)


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
