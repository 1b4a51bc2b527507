"""Proves launches of a training step: replays against eager steps, eager steps against themselves, and what they cost.

Nothing here trains: every trial begins at the state at hand, which is put back.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr.cohort.capture import unchanged
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step, WarmStep
from fastsr.data.sampler import PatchSource
from fastsr.proof.parts import Part, Unproved, part
from fastsr.system.device import synchronise

Launch = Callable[[], None]
State = dict[str, list[Tensor]]
"""Tensors on the host, in groups that have names for people."""
TOLERANCE, TIMES_NOISE = 0.02, 4
"""Replays may differ from eager steps by this share of what the steps changed, or by so many times what two eager runs
differ by: cuDNN's fastest algorithms add in any order, and Adam's first steps turn the sign of tiny gradients into
whole steps."""


class Trial:
    """A body of training with its patches, to be launched from the same state time and again."""

    def __init__(self, body: PretrainStep | WarmStep | Step, patches: PatchSource) -> None:
        self.body, self.patches = body, patches
        self.cohort: Cohort = body.cohort
        self.ring: MetricsRing = body.ring

    def groups(self) -> State:
        """The state that steps change, where it is; what moves by different amounts is apart."""
        schedule = self.cohort.schedule
        groups: State = {
            "metrics": [self.ring.rows_RPT],
            "the step": [schedule.step_count],
            "the learning rate": [schedule.lr],
        }
        for k, peer in enumerate(self.cohort.peers):
            for name, network in peer.networks.items():
                groups[f"weights of the {name} of peer {k}"] = list(network.parameters())
                groups[f"BN statistics of the {name} of peer {k}"] = list(network.buffers())
            for name, optimizer in peer.optimizers.items():
                states = list(optimizer.state.values())
                for key in states[0]:
                    of = f"{key} in Adam of the {name} of peer {k}"
                    groups[of] = [state[key] for state in states]
        return groups

    def rewind(self) -> None:
        """Lets a thread of the host, where one draws patches, begin at the step that the device counts."""
        self.patches.seek(int(self.cohort.schedule.step_count))

    def run(self, launch: Launch, steps: int) -> None:
        for _ in range(steps):
            self.patches.load()
            launch()

    def outcome(self, launch: Launch, steps: int) -> State:
        """The state after so many launches, on the host. The state at hand is put back."""
        with unchanged(self.body.state()):
            self.rewind()
            self.run(launch, steps)
            result = self.now()
        self.rewind()
        return result

    def speed(self, launch: Launch, steps: int) -> float:
        """Steps per second. The state at hand is put back."""
        with unchanged(self.body.state()):
            self.rewind()
            result = steps_per_second(lambda: self.run(launch, 1), self.cohort.device, steps)
        self.rewind()
        return result

    def now(self) -> State:
        """The state at hand, on the host."""
        return {
            name: [x.detach().to("cpu", copy=True) for x in tensors]
            for name, tensors in self.groups().items()
        }


def prove_repeats(trial: Trial, steps: int, name: str) -> Part:
    """Eager steps from one state lead to the same state, bit for bit, each time. True of CPUs alone."""

    def check() -> str:
        first, second = (trial.outcome(trial.body, steps) for _ in range(2))
        for group, value in first.items():
            if not all(map(torch.equal, value, second[group])):
                raise Unproved(f"{group} differ when {steps} steps are made again")
        return f"{steps} steps, made twice, are equal bit for bit"

    return part(name, "--no-compile", check)


@dataclass(frozen=True)
class Rehearsed:
    """Eager steps from a state, to compare replays with. They are made before a capture: both do not fit together."""

    steps: int
    start: State
    end: State
    noise: dict[str, float]
    """The distance of a second run from the first, of each group."""


def rehearse(trial: Trial, steps: int) -> Rehearsed:
    """Makes the steps twice."""
    start, end = trial.now(), trial.outcome(trial.body, steps)
    again = trial.outcome(trial.body, steps)
    return Rehearsed(steps, start, end, apart(end, again, start))


def prove_replays(trial: Trial, replay: Launch, eager: Rehearsed, name: str) -> Part:
    """Replays lead where eager steps lead."""

    def check() -> str:
        replayed = trial.outcome(replay, eager.steps)
        distances = apart(eager.end, replayed, eager.start)
        for group, distance in distances.items():
            allowed = max(TOLERANCE, TIMES_NOISE * eager.noise[group])
            if not distance <= allowed:
                raise Unproved(
                    f"{group}: {eager.steps} replays differ from eager steps by {distance:.2%} of what those change "
                    f"(at most {allowed:.2%})"
                )
        if not any(distances.values()):
            return f"{eager.steps} replays equal eager steps bit for bit"
        return (
            f"{eager.steps} replays differ from eager steps by {max(distances.values()):.2%} of what those change, "
            f"two eager runs by {max(eager.noise.values()):.2%}"
        )

    return part(name, "--no-graph", check)


def apart(first: State, second: State, start: State) -> dict[str, float]:
    """The distance of two outcomes of each group, as a share of the way from the start to the first."""

    def distance(left: list[Tensor], right: list[Tensor]) -> float:
        squares = (
            (a.double() - b.double()).square().sum() for a, b in zip(left, right, strict=True)
        )
        return math.sqrt(sum(map(float, squares)))

    result: dict[str, float] = {}
    for group, value in first.items():
        if all(map(torch.equal, value, second[group])):
            result[group] = 0.0  # as nearly always
            continue
        off, way = distance(value, second[group]), distance(value, start[group])
        result[group] = off / way if way else math.inf * off if off else 0.0
    return result


def prove_no_waits(trial: Trial, replay: Launch, steps: int, name: str) -> Part:
    """The host queues replays without ever waiting for the device."""

    def check() -> str:
        with unchanged(trial.body.state()):
            trial.rewind()
            trial.run(replay, 1)
            before = torch.cuda.get_sync_debug_mode()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that this mode does not find all waits
                torch.cuda.set_sync_debug_mode("error")
            try:
                trial.run(replay, steps)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        trial.rewind()
        return f"{steps} replays were queued without waiting"

    return part(name, "--no-graph", check)


def steps_per_second(launch: Launch, device: torch.device, steps: int) -> float:
    """The speed of launches after two that are not counted. What they change stays changed."""
    launch()
    launch()
    synchronise(device)
    began = time.perf_counter()
    for _ in range(steps):
        launch()
    synchronise(device)
    return steps / (time.perf_counter() - began)
