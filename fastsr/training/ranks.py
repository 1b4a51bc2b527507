"""The parts of a training that its ranks do together; one process does them alone."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console

from fastsr.cohort.share import Share, Whole
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.distributed.ahead import AheadShare
from fastsr.distributed.mesh import Mesh, choose_mesh
from fastsr.distributed.share import RankShare
from fastsr.distributed.world import Ranks, World, is_network_error
from fastsr.errors import UserError
from fastsr.prediction.size import check_size
from fastsr.proof.first_time import require_kernels, told
from fastsr.system.backend import check_triton, kernels
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device, choose_device_of_rank, set_up
from fastsr.training.run import Run, fresh_folder

Value = TypeVar("Value")
STRAGGLES = 2.0
"""A rank that takes so many times as long for its own work as the median of all is named."""
SIGHT_SECONDS = 10.0
"""Time in which a new folder shows on other machines; network file systems remember for a while that there was none."""


def usable_device(config: TrainConfig, world: World, console: Console) -> torch.device:
    """This rank's device, set up. Raises UserError where it cannot do what the settings want of it."""
    machine = config.machine
    device = (
        choose_device_of_rank(machine.device, world.place.local_rank)
        if isinstance(world, Ranks)
        else choose_device(machine.device)
    )
    check_size(config, device)
    set_up(device)
    if machine.fused and kernels(device) == "triton":
        check_triton(device)
        for line in told(require_kernels(config, device)):
            say(console, line)
    if machine.compile and device.type == "cpu":
        check_compiler()
    return device


def share_of(world: World, config: TrainConfig, device: torch.device, console: Console) -> Share:
    """This rank's part of the cohort: everything where it is alone. Raises UserError on all ranks."""
    if not isinstance(world, Ranks):
        return Whole(range(config.cohort.peers))
    mesh = world.together(lambda: usable_mesh(config, world.size))
    say(console, mesh.describe(config, "NCCL" if device.type == "cuda" else "gloo"))
    lag = config.distributed.exchange_every
    if lag == 1:
        return RankShare(world, mesh, config.cohort.peers, device)
    world.lag = lag
    return AheadShare(world, mesh, config.cohort.peers, device, lag)


def usable_mesh(config: TrainConfig, size: int) -> Mesh:
    """The mesh. Raises UserError where it, or what is computed on it, cannot be."""
    mesh = choose_mesh(config, size)
    if mesh.columns > 1 and config.distributed.sync_batch_norm and config.machine.compile:
        # A collective within a block would break its graph, and a replay needs blocks that are whole.
        raise UserError(
            f"--compile cannot hold the exchange of --sync-batch-norm, which mesh {mesh.rows}x{mesh.columns} needs; "
            "add --no-sync-batch-norm, or leave out --compile"
        )
    return mesh


def leads(share: Share) -> bool:
    """True for the rank that saves and validates the peers that it may share with others."""
    return share.part == 0


@contextmanager
def released(share: Share) -> Generator[None, None, None]:
    """Within, a GPU is freed of waiting for ranks that are lost: else whoever waits for it waits for ever."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(share, RankShare) and is_network_error(error):
            share.abort()
        raise


def common_folder(world: World, config: TrainConfig, continued: Run | None) -> Path:
    """The folder of the run, by the first rank's word."""
    mine = continued.folder if continued else config.output.out or fresh_folder(config)
    return world.gather(mine)[0]


def common_run(world: World, config: TrainConfig, continued: Run | None) -> Run:
    """The run, which the first rank makes where it is new. Raises UserError where a rank does not see it."""
    run = world.together(lambda: continued or (None if world.rank else new_run(config)))
    folder = world.gather(run.folder if run else None)[0]
    assert folder is not None
    world.together(lambda: see(folder))
    return run or Run(folder)


def new_run(config: TrainConfig) -> Run:
    folder = config.output.out or fresh_folder(config)
    return Run.start(folder, replace(config, output=replace(config.output, out=folder)))


def see(folder: Path) -> None:
    """Raises UserError where the folder of the run does not show up on this machine."""
    end = time.monotonic() + SIGHT_SECONDS
    while not (folder / "config.toml").is_file():
        if time.monotonic() > end:
            raise UserError(
                f"{folder.absolute()} of rank 0 is not there; give an --out that all machines share"
            )
        time.sleep(0.2)


@dataclass
class Busy:
    """The time that this rank works, without what it waits in steps for others: by it a straggler is seen.

    On a GPU the host does not see waiting that is part of a step, and times of ranks in step are alike.
    """

    share: Share
    step: int = 0
    since: float = 0.0
    waited: float = 0.0

    def restart(self, step: int) -> None:
        """Counts from here on: what was done meanwhile was no step."""
        self.step, self.since, self.waited = step, time.perf_counter(), self.waiting()

    def waiting(self) -> float:
        return self.share.waited if isinstance(self.share, RankShare) else 0.0

    def seconds_per_step(self, step: int) -> float:
        """Since the last restart."""
        spent = time.perf_counter() - self.since - (self.waiting() - self.waited)
        return spent / max(step - self.step, 1)


def straggler(seconds: Sequence[float]) -> int | None:
    """The slowest rank, where it holds up the others."""
    if len(seconds) < 2:
        return None
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    return slowest if seconds[slowest] >= STRAGGLES * middle(seconds) else None


def straggler_line(rank: int, seconds: Sequence[float]) -> str:
    return (
        f"rank {rank} holds up the others: {seconds[rank]:.3g} s a step of its own work, "
        f"the median is {middle(seconds):.3g}"
    )


def middle(seconds: Sequence[float]) -> float:
    """The median; of an even number, the lower."""
    return sorted(seconds)[(len(seconds) - 1) // 2]


def decided_by_first(
    world: World, decide: Callable[[Callable[[], None]], None], act: Callable[[], None]
) -> None:
    """Runs `decide` on the first rank, and `act`, in which all ranks take part, where it calls what it is given."""
    done = False

    def on_all() -> None:
        nonlocal done
        done = True
        world.gather(True)
        act()

    if world.rank == 0:
        decide(on_all)
        if not done:
            world.gather(False)
    elif world.gather(False)[0]:
        act()
