"""Checkpoints of a run: written whole or not at all, and loaded in place.

Of each peer: networks with their buffers, the EMA, the states of optimisers and loss scalers. Beside them the metrics
ring.
"""

import hashlib
import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.distributed.world import Alone, World
from fastsr.errors import UserError
from fastsr.files import read_text, sha256_of, sync
from fastsr.models.weights import (
    checkpoint_name,
    list_checkpoints,
    load_module,
    load_tensors,
    read_best,
    save_generator,
    save_tensors,
)
from fastsr.training.run import Run
from fastsr.training.state import FORMAT, OtherVersionError, lasting_settings, read_state


def save_checkpoint(
    run: Run,
    cohort: Cohort,
    ring: MetricsRing,
    data: str,
    keep: int,
    world: World | None = None,
) -> Path:
    """Writes a checkpoint: all of it or nothing. Returns its folder.

    Its files are the same whatever the ranks that write them: each its peers', the first all else.

    Args:
        data: fingerprint of the images, compared on resume. keep: how many checkpoints to keep.
        world: the ranks that save it together; without, this process is alone.
    Raises:
        UserError: the disk is full or not writable; older checkpoints are untouched.
    """
    world = world or Alone()
    step = int(cohort.schedule.step_count)
    final, temporary = run.checkpoints / f"step-{step:08d}", run.checkpoints / f".saving-{step:08d}"
    if world.gather(final.exists())[0]:
        return final
    try:
        world.together(lambda: None if world.rank else make_empty(temporary))
        mine = world.together(lambda: save_peers(cohort, temporary))
        peers = {k: saved for one in world.gather(mine) for k, saved in one.items()}

        def commit() -> None:
            save_tensors({"rows": ring.rows_RPT}, temporary / "metrics-ring.safetensors")
            write_state(temporary, cohort, data, [peers[k] for k in sorted(peers)])
            for path in (run.metrics_file, temporary / "state.json", temporary):
                sync(path)
            temporary.rename(final)
            sync(run.checkpoints)

        world.together(lambda: None if world.rank else commit())
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        kept = f"the last good one is {run.latest()}" if run.latest() else "there is none yet"
        raise UserError(
            f"checkpoint {final} cannot be written ({error}); {kept}. Free space, then --resume"
        ) from error
    if world.rank == 0:
        prune(run, keep)
    return final


def make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@dataclass(frozen=True)
class SavedPeer:
    """A peer that was written: the states of its loss scalers, by network, and the SHA-256 of its files."""

    scalers: dict[str, dict[str, Any]]
    sums: dict[str, str]


def save_peers(cohort: Cohort, folder: Path) -> dict[int, SavedPeer]:
    """Writes the peers of this process, unless others that train them on other slices do. Raises OSError."""
    saved: dict[int, SavedPeer] = {}
    for k, peer in cohort.numbered() if cohort.share.part == 0 else ():
        save_peer(peer, folder, k)
        scalers = {name: scaler.state_dict() for name, scaler in peer.scalers.items()}
        files = folder.glob(f"peer-{k}-*")
        saved[k] = SavedPeer(scalers, {file.name: sha256_of(file) for file in files})
    return saved


def write_state(folder: Path, cohort: Cohort, data: str, peers: list[SavedPeer]) -> None:
    """Writes state.json, once all other files are there. Raises OSError."""
    sums = {name: value for peer in peers for name, value in peer.sums.items()}
    ring = folder / "metrics-ring.safetensors"
    state: dict[str, Any] = {
        "format": FORMAT,
        "step": int(cohort.schedule.step_count),
        "data": data,
        "scalers": [peer.scalers for peer in peers],
        "content_weight": float(cohort.content_weight),
        "settings": lasting_settings(cohort.config),
        "sha256": dict(sorted({**sums, ring.name: sha256_of(ring)}.items())),
    }
    state["checksum"] = checksum(state)
    (folder / "state.json").write_text(json.dumps(state))


def prune(run: Run, keep: int) -> None:
    """Deletes all but the newest checkpoints and the best. Each loses its name first: none is ever incomplete."""
    best = checkpoint_name(read_best(run.folder).step) if run.best_file.is_file() else ""
    for old in list_checkpoints(run.folder)[:-keep]:
        if old.name != best:
            doomed = old.with_name(f".deleting-{old.name}")
            old.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def load_checkpoint(
    run: Run,
    cohort: Cohort,
    ring: MetricsRing,
    data: str,
    name: str | None = None,
    tidies: bool = True,
) -> int:
    """Loads the peers of this process from a checkpoint of a run, in place. Returns the step.

    Args:
        name: of the checkpoint, such as step-00001000; the latest by default.
        tidies: delete what an interrupted save has left, which the first of several ranks does.
    Raises:
        UserError: the checkpoint is damaged, does not fit, or the images are others than before.
    """
    checkpoint = run.checkpoint(name)
    for leftover in (
        ()
        if not tidies
        else (*run.checkpoints.glob(".saving-*"), *run.checkpoints.glob(".deleting-*"))
    ):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        state = read_state(checkpoint, cohort.config.cohort.peers)
        if damaged := changed_file(checkpoint):
            raise UserError(f"{damaged} is damaged: its contents are not those that were saved")
        if state.data != data:
            raise OtherImagesError(
                f"the images are not those that {run.folder} was trained on; restore them, or start a new run"
            )
        for k, peer in cohort.numbered():
            load_peer(peer, checkpoint, k)
            for name, scaler in peer.scalers.items():
                if state.scalers[k][name]:  # empty where the run was not scaled before
                    scaler.load_state_dict(state.scalers[k][name])
        load_ring(ring, checkpoint / "metrics-ring.safetensors")
    except (OtherVersionError, OtherImagesError):
        raise
    except UserError as error:
        raise UserError(f"{error}; {way_back(run, checkpoint)}") from None
    cohort.content_weight.fill_(state.content_weight)
    cohort.schedule.seek(state.step)
    return state.step


class OtherImagesError(UserError):
    """A sound checkpoint, whose images are not those at hand."""


def changed_file(checkpoint: Path) -> Path | None:
    """The first file of a checkpoint that is not what was saved. Those from before there were sums tell nothing."""
    state = json.loads(read_text(checkpoint / "state.json"))
    if "sha256" not in state:
        return None
    if state.get("checksum") != checksum(state):
        return checkpoint / "state.json"
    files = {checkpoint / name: saved for name, saved in state["sha256"].items()}
    return next(
        (file for file, saved in files.items() if not file.is_file() or sha256_of(file) != saved),
        None,
    )


def checksum(state: dict[str, Any]) -> str:
    """SHA-256 of a state, but for the checksum in it."""
    content = {name: value for name, value in state.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def way_back(run: Run, checkpoint: Path) -> str:
    """Advice on going on without a damaged checkpoint."""
    older = [path for path in list_checkpoints(run.folder) if path.name < checkpoint.name]
    return (
        f"the one before it: --resume {shlex.quote(str(run.folder))} --from {older[-1].name}"
        if older
        else "no older checkpoint is left: start a new run"
    )


def set_aside(run: Run, step: int) -> list[Path]:
    """Takes the names from checkpoints beyond a step, which training goes on from once more. Returns where they are.

    Raises OSError.
    """
    aside: list[Path] = []
    for later in list_checkpoints(run.folder):
        if later.name > checkpoint_name(step):
            aside.append(later.with_name(f"aside-{later.name}"))
            shutil.rmtree(aside[-1], ignore_errors=True)
            later.rename(aside[-1])
    return aside


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


def load_ring(ring: MetricsRing, file: Path) -> None:
    """Raises UserError where the file holds no rows of this ring's shape."""
    rows = load_tensors(file).get("rows")
    if rows is None or rows.shape != ring.rows_RPT.shape:
        raise UserError(f"{file} does not fit the run")
    ring.rows_RPT.copy_(rows)


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
    for k, peer in cohort.numbered():
        for network, module in peer.networks.items():
            for name, value in module.state_dict().items():
                if not bool(value.isfinite().all()):
                    step = int(cohort.schedule.step_count)
                    raise UserError(
                        f"weight {name} of the {network} of peer {k} is not finite at step {step}"
                    )
