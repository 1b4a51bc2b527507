"""The short proof before the first training on a combination of GPU, driver and versions; later ones do without."""

from collections.abc import Callable
from functools import partial

import torch

from fastsr.config.settings import TrainConfig
from fastsr.proof.degradations import DEGRADE, prove_degradations
from fastsr.proof.kernels import LOSS, SAMPLER, prove_cohort_loss, prove_patch_sampler
from fastsr.proof.known import Proofs
from fastsr.proof.norms import NORM, prove_batch_norm
from fastsr.proof.parts import Part
from fastsr.proof.prove import FEW_STEPS, names_of_captured
from fastsr.proof.trial import Launch, Trial, prove_no_waits, prove_replays, rehearse

Proof = Callable[[Launch], list[Part]]
"""Takes a replay and returns what was tried. Raises UserError where a part fails."""


def require_kernels(config: TrainConfig, device: torch.device) -> list[Part]:
    """Tries the kernels where --prove asks for it and they are new here.

    Raises UserError, naming the way out, where one is wrong.
    """
    if not config.machine.prove:
        return []
    checks = {
        LOSS: lambda: prove_cohort_loss(device),
        SAMPLER: lambda: prove_patch_sampler(device),
        NORM: lambda: prove_batch_norm(device),
    }
    if not config.degrade.is_bicubic:
        checks[DEGRADE] = lambda: prove_degradations(config, device)
    return Proofs.on(device, config.images.cache).require(checks)


def replay_proof(trial: Trial, config: TrainConfig) -> Proof:
    """The proof of replays of a body, which makes its eager steps now: beside a graph they may not fit.

    Nothing is done where --prove does not ask for it, or it is not new here.
    """
    cohort = trial.cohort
    replays, waits = names_of_captured(trial, config, cohort.precision)
    proofs = Proofs.on(cohort.device, config.images.cache)
    if not config.machine.prove or {replays, waits} <= proofs.passed().keys():
        return lambda replay: []
    eager = rehearse(trial, FEW_STEPS)
    return lambda replay: proofs.require(
        {
            replays: partial(prove_replays, trial, replay, eager, replays),
            waits: partial(prove_no_waits, trial, replay, FEW_STEPS, waits),
        }
    )


def told(parts: list[Part]) -> list[str]:
    """A line for people of each part."""
    return [f"proved here: {part.name}: {part.detail}" for part in parts]
