"""What was proved is kept for a combination, and tried again for another."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.proof.first_time import replay_proof, require_kernels, told
from fastsr.proof.known import Kept, Proofs, combination
from fastsr.proof.parts import Part
from fastsr.proof.trial import Trial

CPU = torch.device("cpu")
SOUND = Part(name="kernel", outcome="passed", detail="48 cases")
WRONG = Part(name="kernel", outcome="failed", detail="off by 0.01", remedy="--no-fused")


class Tried:
    """A check that counts how often it is made."""

    def __init__(self, found: Part) -> None:
        self.found, self.times = found, 0

    def __call__(self) -> Part:
        self.times += 1
        return self.found


def proofs(cache: Path, **key: str) -> Proofs:
    combined = combination(CPU) | key
    return Proofs(combined, Kept.of(cache, "proofs", combined))


def test_what_passed_is_not_tried_again(tmp_path: Path) -> None:
    check = Tried(SOUND)
    assert proofs(tmp_path).require({"kernel": check}) == [SOUND]
    assert proofs(tmp_path).require({"kernel": check}) == []
    assert proofs(tmp_path).passed() == {"kernel": "48 cases"}
    assert check.times == 1


@pytest.mark.parametrize(
    "name", ["gpu", "driver", "torch", "triton", "fastsr"], ids=lambda name: f"another {name}"
)
def test_another_gpu_driver_or_version_is_proved_anew(tmp_path: Path, name: str) -> None:
    check = Tried(SOUND)
    proofs(tmp_path).require({"kernel": check})
    proofs(tmp_path, **{name: "another"}).require({"kernel": check})
    assert check.times == 2


def test_a_failure_stops_with_what_to_switch_off_and_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^kernel .*: off by 0.01. Train with --no-fused; .*--no-prove"
    ):
        proofs(tmp_path).require({"kernel": Tried(WRONG)})
    check = Tried(SOUND)
    proofs(tmp_path).require({"kernel": check})
    assert check.times == 1


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    proofs(tmp_path).require({"kernel": Tried(SOUND)})
    (file,) = (tmp_path / "proofs").iterdir()
    file.write_text("half a fi")
    check = Tried(SOUND)
    proofs(tmp_path).require({"kernel": check})
    assert check.times == 1 and proofs(tmp_path).passed() == {"kernel": "48 cases"}


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "proofs").write_text("in the way")
    assert proofs(tmp_path).require({"kernel": Tried(SOUND)}) == [SOUND]


def test_a_training_proves_what_is_new(trial: Trial, tiny_config: TrainConfig) -> None:
    """As before the first training on a GPU, with the body itself in the place of its replay."""
    cache = tiny_config.images.cache
    assert [one.outcome for one in require_kernels(tiny_config, CPU)] == 3 * ["passed"]
    assert require_kernels(tiny_config, CPU) == []
    Proofs.on(CPU, cache).add([replace(SOUND, name="no waiting in training (float32)")])
    (part,) = replay_proof(trial, tiny_config)(trial.body)
    assert told([part]) == [
        "proved here: replays of training (float32): 4 replays equal eager steps bit for bit"
    ]
    assert replay_proof(trial, tiny_config)(trial.body) == []


def test_a_replay_that_is_wrong_stops_training(trial: Trial, tiny_config: TrainConfig) -> None:
    def nothing() -> None:
        """As a graph that was captured empty."""

    with pytest.raises(UserError, match=r"replays of training .* Train with --no-graph"):
        replay_proof(trial, tiny_config)(nothing)
    unproved = replace(tiny_config, machine=replace(tiny_config.machine, prove=False))
    assert replay_proof(trial, unproved)(nothing) == []
    assert isinstance(trial.body, Step) and int(trial.cohort.schedule.step_count) == 0
