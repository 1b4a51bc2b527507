"""Checkpoints of a run: written whole or not at all, and loaded in place.

Of each peer: networks with their buffers, the EMA, the states of optimisers and loss scalers. Beside them the metrics
ring, and logits that were sent ahead.
"""

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from fastsr.checkpoints import checkpoint_name, list_checkpoints, read_best
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.distributed.together import Meeting
from fastsr.distributed.world import Alone
from fastsr.errors import UserError
from fastsr.files import read_text, sha256_of, sync
from fastsr.models.model_file import save_generator
from fastsr.models.tensors import load_module, load_tensors, save_tensors
from fastsr.training.run import Run
from fastsr.training.snapshot import SavedPeer, Snapshot, optimizer_tensors
from fastsr.training.state import OtherVersionError, read_state

RING = "metrics-ring.safetensors"
"""File of the tensors that belong to no peer alone: rows of metrics, and logits that were sent ahead."""
Key = TypeVar("Key")
Value = TypeVar("Value")


def save_checkpoint(run: Run, cohort: Cohort, ring: MetricsRing, data: str, keep: int) -> Path:
    """Writes a checkpoint of a cohort as it is: all of it or nothing. Returns its folder.

    Args:
        data: fingerprint of the images, compared on resume. keep: how many checkpoints to keep.
    Raises:
        UserError: the disk is full or not writable; older checkpoints are untouched.
    """
    return write_checkpoint(run, Snapshot.of(cohort, ring, data), keep)


def write_checkpoint(run: Run, snapshot: Snapshot, keep: int, world: Meeting | None = None) -> Path:
    """Writes a checkpoint, as `save_checkpoint` does. Its files are the same whatever the ranks that write them.

    Args:
        world: ranks that save it together, each its peers, and the first all else; without, this process is alone.
    """
    world = world or Alone()
    name = checkpoint_name(snapshot.step)
    final = run.checkpoints / name
    temporary = run.checkpoints / f".saving-{name.removeprefix('step-')}"
    if world.gather(final.exists())[0]:
        return final
    try:
        world.together(lambda: None if world.rank else make_empty(temporary))
        mine = world.together(lambda: save_peers(snapshot, temporary))
        sums, scalers = zip(*world.gather((mine, snapshot.scalers)), strict=True)

        def commit() -> None:
            save_tensors(common_tensors(snapshot), temporary / RING)
            write_state(temporary, snapshot, merged(sums), merged(scalers))
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


def common_tensors(snapshot: Snapshot) -> dict[str, Tensor]:
    """Those that belong to no peer alone."""
    sent = {} if snapshot.teachers is None else {"teachers": snapshot.teachers}
    return {"rows": snapshot.rows, **sent}


def make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def save_peers(snapshot: Snapshot, folder: Path) -> dict[str, str]:
    """Writes the peers of a snapshot. Returns the SHA-256 of each file. Raises OSError."""
    sums: dict[str, str] = {}
    for k, peer in snapshot.peers.items():
        save_peer(peer, folder, k)
        sums |= {file.name: sha256_of(file) for file in folder.glob(f"peer-{k}-*")}
    return sums


def write_state(
    folder: Path, snapshot: Snapshot, sums: dict[str, str], scalers: dict[int, Any]
) -> None:
    """Writes state.json, once all other files are there. Raises OSError."""
    ring = folder / RING
    state = {**snapshot.state, "scalers": [scalers[k] for k in sorted(scalers)]}
    state["sha256"] = dict(sorted({**sums, ring.name: sha256_of(ring)}.items()))
    state["checksum"] = checksum(state)
    (folder / "state.json").write_text(json.dumps(state))


def merged(parts: Iterable[Mapping[Key, Value]]) -> dict[Key, Value]:
    """The mappings of all ranks as one."""
    return {name: value for part in parts for name, value in part.items()}


def prune(run: Run, keep: int) -> None:
    """Deletes all but the newest checkpoints and the best. Each loses its name first: none is ever incomplete."""
    best = checkpoint_name(read_best(run.folder).step) if run.best_file.is_file() else ""
    for old in list_checkpoints(run.folder)[:-keep]:
        if old.name != best:
            doomed = old.with_name(f".deleting-{old.name}")
            shutil.rmtree(doomed, ignore_errors=True)  # of a run that was killed here
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
        tell_apart(cohort)
        load_ring(ring, checkpoint / RING)
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


def save_peer(peer: SavedPeer, folder: Path, k: int) -> None:
    save_generator(peer.generator, folder / f"peer-{k}-generator.safetensors", peer.notes)
    save_generator(peer.ema, folder / f"peer-{k}-ema.safetensors", peer.notes)
    save_tensors(peer.discriminator.state_dict(), folder / f"peer-{k}-discriminator.safetensors")
    for name, tensors in peer.adam.items():
        save_tensors(tensors, folder / f"peer-{k}-{name}-adam.safetensors")


def load_peer(peer: Peer, folder: Path, k: int) -> None:
    for name, network in peer.networks.items():
        load_module(network, folder / f"peer-{k}-{name}.safetensors")
    for name, optimizer in peer.optimizers.items():
        load_optimizer(optimizer, folder / f"peer-{k}-{name}-adam.safetensors")


def tell_apart(cohort: Cohort) -> None:
    """Has peers that were loaded pre-trained each by itself where they did not begin alike after all.

    By its settings a run that is continued without the files that its peers started from would take them for equal.
    """
    for k, first in enumerate(cohort.pretrained_by):
        if not cohort.peers[k].equals(cohort.peers[first]):
            cohort.pretrained_by[k] = k


def load_ring(ring: MetricsRing, file: Path) -> None:
    """Raises UserError where the file holds no rows of this ring's shape."""
    rows = load_tensors(file).get("rows")
    if rows is None or rows.shape != ring.rows_RPT.shape:
        raise UserError(f"{file} does not fit the run")
    ring.rows_RPT.copy_(rows)


def load_teachers(checkpoint: Path) -> Tensor | None:
    """Logits that were sent ahead when the checkpoint was saved; None where none were."""
    return load_tensors(checkpoint / RING).get("teachers")


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
