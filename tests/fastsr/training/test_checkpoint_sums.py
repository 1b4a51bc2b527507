"""A checkpoint proves itself: flipped bits are seen, and training goes on from the one before where that is asked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.files import sha256_of
from fastsr.models.model_file import load_generator
from fastsr.training.run import Run
from fastsr.training.train import train
from tests.fastsr.training.training_cases import quiet


def flip(file: Path, at: int = -3) -> None:
    """One bit, in the last of a file's values: it still is a sound safetensors file."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return {
        f"{file.name}/{name}": value.clone()
        for file in run.checkpoint().glob("*.safetensors")
        for name, value in load_file(file).items()
    }


@pytest.fixture
def run(config: TrainConfig) -> Run:
    """Checkpoints of steps 4, 8 and 9."""
    return train(config, quiet())


def resumed(config: TrainConfig, name: str | None = None) -> TrainConfig:
    return replace(config, output=replace(config.output, resume=True, resume_from=name))


def test_a_checkpoint_tells_the_sum_of_each_of_its_files(run: Run) -> None:
    checkpoint = run.checkpoint()
    state = json.loads((checkpoint / "state.json").read_text())
    files = {path.name for path in checkpoint.iterdir()} - {"state.json"}
    assert len(files) == 11
    assert state["sha256"] == {name: sha256_of(checkpoint / name) for name in files}


@pytest.mark.parametrize(
    "name", ["peer-1-ema", "peer-0-discriminator-adam", "peer-0-generator", "metrics-ring"]
)
def test_a_flipped_bit_is_told_with_the_way_to_the_checkpoint_before(
    config: TrainConfig, run: Run, name: str
) -> None:
    file = run.checkpoint() / f"{name}.safetensors"
    flip(file)
    with pytest.raises(UserError) as caught:
        train(resumed(config), quiet())
    assert str(caught.value) == (
        f"{file} is damaged: its contents are not those that were saved; "
        f"the one before it: --resume {run.folder} --from step-00000008"
    )
    assert [path.name for path in sorted(run.checkpoints.iterdir())][-1] == "step-00000009"


def test_a_changed_number_in_the_state_is_seen(config: TrainConfig, run: Run) -> None:
    file = run.checkpoint() / "state.json"
    file.write_text(file.read_text().replace('"content_weight": 1.0', '"content_weight": 1.5'))
    with pytest.raises(UserError, match=r"state.json is damaged: its contents .* --from step-"):
        train(resumed(config), quiet())


def test_training_goes_on_from_the_checkpoint_that_is_named(config: TrainConfig, run: Run) -> None:
    before = tensors(run)
    flip(run.checkpoint() / "peer-0-ema.safetensors")
    again = train(resumed(config, "step-00000004"), quiet())
    assert [path.name for path in sorted(again.checkpoints.iterdir())] == [
        *(f"aside-step-0000000{step}" for step in (8, 9)),
        *(f"step-0000000{step}" for step in (4, 8, 9)),
    ]
    after = tensors(again)
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    steps = [row["step"] for row in again.read_metrics() if row["kind"] == "validation"]
    assert steps == [4, 8, 9]
    assert from_toml(run.folder / "config.toml", TrainConfig()).output.resume_from is None


def test_a_checkpoint_that_is_not_there_cannot_be_named(config: TrainConfig, run: Run) -> None:
    with pytest.raises(UserError) as caught:
        train(resumed(config, "step-5"), quiet())
    there = "step-00000004, step-00000008 and step-00000009"
    assert str(caught.value) == f"--from step-5 is no checkpoint of {run.folder}; it has {there}"


def test_from_without_a_run_to_resume(config: TrainConfig) -> None:
    with pytest.raises(UserError, match="--from step-00000004 needs --resume RUN"):
        train(resumed(config, "step-00000004"), quiet())


def test_a_checkpoint_from_before_there_were_sums_is_loaded(config: TrainConfig, run: Run) -> None:
    file = run.checkpoint() / "state.json"
    state = json.loads(file.read_text())
    del state["sha256"], state["checksum"]
    file.write_text(json.dumps(state))
    more = replace(resumed(config), optim=replace(config.optim, steps=7))
    assert train(more, quiet()).checkpoint().name == "step-00000010"


def test_a_generator_with_a_flipped_bit_is_not_used(run: Run) -> None:
    file = run.checkpoint() / "peer-0-ema.safetensors"
    load_generator(file)
    flip(file)
    with pytest.raises(UserError, match=f"{file} is damaged: its contents are not those"):
        load_generator(file)
