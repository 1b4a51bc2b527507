"""Proofs of launches: bodies that drift are found, and a trial leaves training as it was."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from fastsr.cohort.capture import capture
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.proof.prove import prove, rehearsal
from fastsr.proof.trial import Trial, prove_no_waits, prove_repeats, prove_replays, rehearse
from fastsr.system.precision import Precision
from tests.fastsr.config.configurations import changed

CPU = torch.device("cpu")
Plant = Callable[[Trial], Callable[[], None]]


class DriftingStep(Step):
    """A step that, from some call on, computes with weights of a peer that are too large."""

    calls, sound_calls = 0, 0

    def __call__(self) -> None:
        super().__call__()
        self.calls += 1
        if self.calls > self.sound_calls:
            with torch.no_grad():
                self.cohort.peers[1].generator.trunk_conv.weight.mul_(1.05)


def drifting(trial: Trial) -> DriftingStep:
    return DriftingStep(trial.cohort, trial.patches, trial.ring)


def forgetful(trial: Trial) -> Callable[[], None]:
    """A launch that leaves the EMA of a peer where it was, as a graph does that was captured without it."""

    def launch() -> None:
        ema = trial.cohort.peers[0].ema.state_dict()
        before = {name: value.clone() for name, value in ema.items()}
        trial.body()
        for name, value in ema.items():
            value.copy_(before[name])

    return launch


def repeating(trial: Trial) -> Callable[[], None]:
    """A launch that draws the same patches each time, as a graph does with the step baked in."""

    def launch() -> None:
        trial.body()
        trial.cohort.schedule.step_count.fill_(1)

    return launch


def test_eager_steps_repeat_and_leave_no_trace(trial: Trial) -> None:
    before = trial.now()
    found = prove_repeats(trial, 3, "repeat")
    assert found.outcome == "passed", found.detail
    for group, values in trial.now().items():
        assert all(map(torch.equal, values, before[group])), group


def test_a_body_that_drifts_on_its_second_run_is_found(trial: Trial) -> None:
    body = drifting(trial)
    body.sound_calls = 3
    found = prove_repeats(Trial(body, trial.patches), 3, "repeat")
    assert found.outcome == "failed" and "differ when 3 steps are made again" in found.detail


def test_replays_that_do_what_steps_do_are_equal(trial: Trial) -> None:
    found = prove_replays(trial, trial.body, rehearse(trial, 3), "replays")
    assert (found.outcome, found.detail) == ("passed", "3 replays equal eager steps bit for bit")


@pytest.mark.parametrize("plant", [drifting, forgetful, repeating])
def test_replays_that_do_otherwise_are_named(trial: Trial, plant: Plant) -> None:
    found = prove_replays(trial, plant(trial), rehearse(trial, 3), "replays")
    assert (found.outcome, found.remedy) == ("failed", "--no-graph")


def test_noise_of_eager_steps_is_allowed_for(trial: Trial) -> None:
    """As of a GPU whose sums take any order: replays may differ by as much as eager steps differ."""
    body = drifting(trial)
    body.sound_calls = 3
    eager = rehearse(Trial(body, trial.patches), 3)
    assert max(eager.noise.values()) > 0
    assert prove_replays(trial, drifting(trial), eager, "replays").outcome == "passed"


def test_a_cpu_does_what_a_cpu_can(tiny_config: TrainConfig) -> None:
    parts = list(prove(tiny_config, CPU, Precision()))
    assert {one.name: one.outcome for one in parts} == {
        "cohort loss": "passed",
        "patch sampler": "passed",
        "batch norm": "passed",
        "degradations": "skipped",
        "eager steps repeat": "passed",
        "replays of training (float32)": "skipped",
        "no waiting in training (float32)": "skipped",
        "peak memory": "skipped",
        "steps/s": "skipped",
    }
    assert {one.detail for one in parts if one.outcome == "skipped"} == {
        "needs an NVIDIA GPU",
        "--degrade bicubic: not in use",
    }


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (4, 16)])
def test_steps_are_tried_on_samples_of_the_settings(
    tiny_config: TrainConfig, channels: int, bits: int
) -> None:
    config = changed("model.channels", channels, changed("images.bits", bits, tiny_config))
    trial = rehearsal(config, CPU, Precision())
    assert prove_repeats(trial, 1, "steps").outcome == "passed"
    _, hr_NCHW = trial.patches.draw(torch.tensor(0))
    levels = hr_NCHW.double() * (2**bits - 1)
    assert hr_NCHW.shape[1] == channels
    assert torch.allclose(levels, levels.round(), atol=0.01) and float(levels.max()) > 2 ** (
        bits - 1
    )


def test_kernels_that_are_not_in_use_are_not_tried(tiny_config: TrainConfig) -> None:
    config = replace(tiny_config, machine=replace(tiny_config.machine, fused=False))
    first, second, *_ = prove(config, CPU, Precision())
    assert (first.outcome, second.outcome) == ("skipped", "skipped")


@pytest.mark.gpu
@pytest.mark.parametrize("amp", [False, True], ids=["fp32", "bf16"])
def test_a_gpu_does_everything(tiny_config: TrainConfig, amp: bool) -> None:
    machine = replace(tiny_config.machine, device="cuda")
    precision = Precision(dtype=torch.bfloat16 if amp else None)
    parts = list(prove(replace(tiny_config, machine=machine), torch.device("cuda:0"), precision))
    assert [one for one in parts if one.outcome == "failed"] == []
    assert [one.name for one in parts if one.outcome == "skipped"] == ["degradations"]
    assert len(parts) == 8


@pytest.mark.gpu
def test_a_replay_that_makes_the_host_wait_is_found(tiny_config: TrainConfig) -> None:
    trial = rehearsal(tiny_config, torch.device("cuda:0"), Precision())
    with closing(capture(trial.body, trial.body.state())) as replay:
        assert prove_no_waits(trial, replay, 3, "waits").outcome == "passed"

        def waiting() -> None:
            replay()
            trial.cohort.schedule.lr.item()

        found = prove_no_waits(trial, waiting, 3, "waits")
    assert found.outcome == "failed"
    assert torch.cuda.get_sync_debug_mode() == 0
