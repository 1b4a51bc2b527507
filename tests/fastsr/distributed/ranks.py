"""Ranks of a training: real processes on gloo, forked from a server that has torch loaded already."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

SETTINGS = {
    "--scale": "2", "--blocks": "1", "--filters": "4", "--discriminator-filters": "2", "--patch": "16",
    "--batch": "4", "--content": "pixel", "--pretrain-steps": "8", "--steps": "42", "--lr": "1e-5", "--peers": "3",
    "--log-every": "5", "--save-every": "20", "--val-every": "25", "--keep": "3", "--device": "cpu",
}  # fmt: skip
"""A training of 50 steps that takes a few seconds."""
PATIENCE = 120.0


def words(images: Path, out: Path, **changed: str) -> list[str]:
    """The words of `fastsr train`, some options changed: `lr="1e-5"` is --lr 1e-5."""
    options = {
        "--data": str(images),
        "--val": str(images),
        "--out": str(out),
        "--cache": str(images.parent / "cache"),
        **SETTINGS,
        **{f"--{name.replace('_', '-')}": value for name, value in changed.items()},
    }
    return ["train", *(word for option in options.items() for word in option)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_rank(environment: dict[str, str], arguments: list[str], log: Path) -> None:
    """The life of one rank: `fastsr` with these words, its output in files. Runs in a process of its own."""
    os.environ.update(environment)
    import torch

    from fastsr.cli.main import main

    torch.set_num_threads(1)
    with (
        log.with_suffix(".out").open("w") as out,
        log.with_suffix(".err").open("w") as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = main(arguments)
    sys.exit(status)


@dataclass
class Job:
    """Ranks that were started together."""

    processes: list[ForkServerProcess]
    logs: list[Path]

    def wait(self) -> list[int]:
        """Exit statuses, once all have ended."""
        end = time.monotonic() + PATIENCE
        for process in self.processes:
            process.join(max(0.1, end - time.monotonic()))
        for process in self.processes:
            if process.is_alive():
                process.kill()
                process.join()
        return [process.exitcode or 0 for process in self.processes]

    def out(self, rank: int) -> str:
        return read(self.logs[rank].with_suffix(".out"))

    def errors(self, rank: int) -> list[str]:
        return read(self.logs[rank].with_suffix(".err")).splitlines()

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        process = self.processes[rank]
        assert process.pid is not None
        os.kill(process.pid, number)

    def when(self, ready: Callable[[], bool]) -> None:
        """Returns as soon as something is so."""
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end
            assert any(process.is_alive() for process in self.processes)
            time.sleep(0.002)


def read(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def start(
    folder: Path,
    arguments: list[list[str]],
    environments: list[dict[str, str]] | None = None,
    port: int | None = None,
) -> Job:
    """Starts one rank for each list of words; their logs are kept in `folder`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fastsr.training.train", "fastsr.cli.main"])
    folder.mkdir(parents=True, exist_ok=True)
    size, port = len(arguments), port or free_port()
    processes, logs = [], []
    for rank, given in enumerate(arguments):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            **(environments[rank] if environments else {}),
        }
        logs.append(folder / f"rank-{rank}")
        process = context.Process(target=run_rank, args=(environment, given, logs[-1]))
        process.start()
        processes.append(process)
    return Job(processes, logs)


def run(folder: Path, arguments: list[str], size: int) -> Job:
    """Runs ranks with the same words to their end, which must be a good one."""
    job = start(folder, [arguments] * size)
    statuses = job.wait()
    assert statuses == [0] * size, [job.errors(rank) for rank in range(size)]
    return job
