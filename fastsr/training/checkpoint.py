"""Checkpoints of a run: written whole or not at all, and loaded in place.

Of each peer: networks with their buffers, the EMA, the states of optimisers and loss scalers. Beside them the metrics
ring.
"""

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.errors import UserError
from fastsr.files import sync
from fastsr.models.weights import (
    list_checkpoints,
    load_module,
    load_tensors,
    save_generator,
    save_tensors,
)
from fastsr.training.run import Run

FORMAT = 1


def save_checkpoint(run: Run, cohort: Cohort, ring: MetricsRing, data: str, keep: int) -> Path:
    """Writes a checkpoint: all of it or nothing. Returns its folder.

    Args:
        data: fingerprint of the images, compared on resume. keep: how many checkpoints to keep.
    Raises:
        UserError: the disk is full or not writable; older checkpoints are untouched.
    """
    step = int(cohort.schedule.step_count)
    final, temporary = run.checkpoints / f"step-{step:08d}", run.checkpoints / f".saving-{step:08d}"
    if final.exists():
        return final
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for k, peer in enumerate(cohort.peers):
            save_peer(peer, temporary, k)
        save_tensors({"rows": ring.rows_RPT}, temporary / "metrics-ring.safetensors")
        scalers = [
            {name: scaler.state_dict() for name, scaler in peer.scalers.items()}
            for peer in cohort.peers
        ]
        weight = float(cohort.content_weight)
        state = {
            "format": FORMAT,
            "step": step,
            "data": data,
            "scalers": scalers,
            "content_weight": weight,
        }
        (temporary / "state.json").write_text(json.dumps(state))
        for path in (run.metrics_file, temporary / "state.json", temporary):
            sync(path)
        temporary.rename(final)
        sync(run.checkpoints)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        kept = f"the last good one is {run.latest()}" if run.latest() else "there is none yet"
        raise UserError(
            f"checkpoint {final} cannot be written ({error}); {kept}. Free space, then --resume"
        ) from error
    prune(run, keep)
    return final


def prune(run: Run, keep: int) -> None:
    """Deletes all but the newest checkpoints. Each loses its name first, so that none is ever incomplete."""
    for old in list_checkpoints(run.folder)[:-keep]:
        doomed = old.with_name(f".deleting-{old.name}")
        old.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def load_checkpoint(run: Run, cohort: Cohort, ring: MetricsRing, data: str) -> int:
    """Loads the latest checkpoint of a run, in place. Returns the step.

    Raises UserError where the checkpoint is damaged, does not fit, or the images are others than before.
    """
    checkpoint = run.latest()
    assert checkpoint is not None
    for leftover in (*run.checkpoints.glob(".saving-*"), *run.checkpoints.glob(".deleting-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        state = json.loads((checkpoint / "state.json").read_text())
        step, scalers, known = int(state["step"]), state["scalers"], state["format"] == FORMAT
        content_weight = float(state.get("content_weight", cohort.content_weight))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{checkpoint}/state.json is damaged ({error}); {way_back(run, checkpoint)}"
        ) from None
    if not known:
        raise UserError(
            f"{checkpoint} was written by another version of fastsr; continue it with that version"
        )
    if state["data"] != data:
        raise UserError(
            f"the images are not those that {run.folder} was trained on; restore them, or start a new run"
        )
    try:
        for k, peer in enumerate(cohort.peers):
            load_peer(peer, checkpoint, k)
            for name, scaler in peer.scalers.items():
                if scalers[k][name]:  # empty where the run was not scaled before
                    scaler.load_state_dict(scalers[k][name])
        ring.rows_RPT.copy_(load_tensors(checkpoint / "metrics-ring.safetensors")["rows"])
    except UserError as error:
        raise UserError(f"{error}; {way_back(run, checkpoint)}") from None
    cohort.content_weight.fill_(content_weight)
    cohort.schedule.seek(step)
    return step


def way_back(run: Run, checkpoint: Path) -> str:
    """Advice on going on without a damaged checkpoint."""
    others = [path for path in list_checkpoints(run.folder) if path != checkpoint]
    return (
        f"delete {checkpoint} to continue from {others[-1].name}"
        if others
        else "no older checkpoint is left: start a new run"
    )


def save_peer(peer: Peer, folder: Path, k: int) -> None:
    save_generator(peer.generator, folder / f"peer-{k}-generator.safetensors")
    save_generator(peer.ema, folder / f"peer-{k}-ema.safetensors")
    save_tensors(peer.discriminator.state_dict(), folder / f"peer-{k}-discriminator.safetensors")
    for name, optimizer in peer.optimizers.items():
        save_tensors(optimizer_tensors(optimizer), folder / f"peer-{k}-{name}-adam.safetensors")


def load_peer(peer: Peer, folder: Path, k: int) -> None:
    for name, network in peer.networks.items():
        load_module(network, folder / f"peer-{k}-{name}.safetensors")
    for name, optimizer in peer.optimizers.items():
        load_optimizer(optimizer, folder / f"peer-{k}-{name}-adam.safetensors")


def optimizer_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's state as tensors named by parameter index."""
    parameters = optimizer.param_groups[0]["params"]
    return {
        f"{i}.{key}": value
        for i, p in enumerate(parameters)
        for key, value in optimizer.state.get(p, {}).items()
    }


def load_optimizer(optimizer: torch.optim.Adam, file: Path) -> None:
    """Puts Adam's state back in place. Raises UserError where it does not fit.

    `Optimizer.load_state_dict` would replace these tensors, which a captured step goes on using, and the learning rate
    that all optimisers share.
    """
    homes, values = optimizer_tensors(optimizer), load_tensors(file)
    if {name: home.shape for name, home in homes.items()} != {
        name: value.shape for name, value in values.items()
    }:
        raise UserError(f"{file} does not fit the network")
    for name, home in homes.items():
        home.copy_(values[name])


def assert_finite(cohort: Cohort) -> None:
    """Raises UserError, naming the peer and the weight, rather than have a checkpoint of NaNs. A sync point."""
    for k, peer in enumerate(cohort.peers):
        for network, module in peer.networks.items():
            for name, value in module.state_dict().items():
                if not bool(value.isfinite().all()):
                    step = int(cohort.schedule.step_count)
                    raise UserError(
                        f"weight {name} of the {network} of peer {k} is not finite at step {step}"
                    )
