"""Ranks that die, fall silent, or do not fit together: one line, and a run that goes on."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fastsr.distributed.ranks import Job, run, start, words


def reached(out: Path, step: int) -> bool:
    return (out / "checkpoints" / f"step-{step:08d}").is_dir()


def test_a_rank_that_is_killed_stops_all_and_fewer_go_on(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = words(images, out, save_every="5", steps="5000", val_every="6000")
    job = start(tmp_path / "logs", [given] * 3)
    job.when(lambda: reached(out, 10))
    job.kill(1)
    assert job.wait() == [2, -signal.SIGKILL, 2]
    for rank, prefix in ((0, "fastsr: rank 1 "), (2, "fastsr: rank 2: rank 1 ")):
        (line,) = job.errors(rank)
        assert line.startswith(prefix)
        assert "stopped answering" in line
        assert re.search(r"is not saved, step-\d+ is\. Continue: fastsr train --resume", line)
    kept = max(int(path.name[5:]) for path in (out / "checkpoints").glob("step-*"))
    job = run(tmp_path / "again", [*words(images, out, steps=str(kept)), "--resume"], 2)
    assert "mesh 2x1: peers 0 | 1 2" in job.out(0)
    assert f"continuing {out} at step {kept}" in job.out(0)
    assert f"done: step {kept + 8} of {kept + 8}" in job.out(0)


def test_a_rank_that_falls_silent_is_not_waited_for_longer_than_said(
    images: Path, tmp_path: Path
) -> None:
    given = words(images, tmp_path / "run", steps="5000", rank_timeout="3", log_every="2")
    job = start(tmp_path / "logs", [given] * 2)
    job.when(lambda: "training 12" in job.out(0))
    job.kill(1, signal.SIGSTOP)
    job.processes[0].join(60)
    job.kill(1)
    assert job.wait() == [2, -signal.SIGKILL]
    assert "rank 1" in job.errors(0)[0]
    assert "stopped answering (Timed out" in job.errors(0)[0]


def test_a_rank_that_is_asked_to_stop_stops_all_at_one_step(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    job = start(tmp_path / "logs", [words(images, out, steps="5000", log_every="2")] * 2)
    job.when(lambda: "training 12" in job.out(0))
    job.kill(1, signal.SIGTERM)
    assert job.wait() == [130, 143], "the second by the signal that it was sent"
    stopped = re.search(r"stopped at step (\d+) of 5008 and saved", job.out(0))
    assert stopped
    assert reached(out, int(stopped[1]))


def refused(folder: Path, *arguments: list[str]) -> Job:
    """Ranks that refuse to start: the first says why, the others say nothing."""
    job = start(folder, list(arguments))
    assert job.wait() == [2] * len(arguments)
    assert [len(job.errors(rank)) for rank in range(len(arguments))] == [1] + [0] * (
        len(arguments) - 1
    )
    return job


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": "2e-3"}, r"--lr is 0.002 on rank 1 \(.*, process \d+\) and 1e-05 on rank 0"),
        ({"device": "cuda"}, r"rank 1 \(.*\): there is no GPU 1: torch sees \d"),
        ({"data": "other"}, r"the checksum of the training images is \w+ on rank 1 .* on rank 0"),
        ({"data": "nowhere"}, r"rank 1 \(.*\): .*nowhere"),
    ],
    ids=["setting", "no GPU", "other images", "no images"],
)
def test_ranks_that_differ_refuse_to_start(
    images: Path, tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    if changed.get("data") == "other":
        changed = {"data": str(next(images.glob("1.png")))}
    usual = words(images, tmp_path / "run")
    job = refused(tmp_path / "logs", usual, words(images, tmp_path / "run", **changed))
    assert re.search(message, job.errors(0)[0])


def test_settings_that_are_wrong_are_told_once(images: Path, tmp_path: Path) -> None:
    given = words(images, tmp_path / "run", mesh="2x2")
    assert "--mesh 2x2 is for 4 processes" in refused(tmp_path / "a", given, given).errors(0)[0]
    given = words(images, tmp_path / "run", batch="1")
    assert "--batch 1" in refused(tmp_path / "b", given, given).errors(0)[0]


def test_a_port_in_use_is_named_by_all(images: Path, tmp_path: Path) -> None:
    """Also where the program that has it takes what ranks say, and never answers."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        given = words(images, tmp_path / "run", rank_timeout="2")
        job = start(tmp_path / "logs", [given] * 2, port=port)
        assert job.wait() == [2, 2]
    (first,), (second,) = job.errors(0), job.errors(1)
    assert first.startswith(f"fastsr: rank 0 cannot open port {port} of 127.0.0.1, which is in use")
    assert second.startswith(
        f"fastsr: rank 1: the other ranks are not found through 127.0.0.1:{port} (no answer in 2 seconds)"
    )


def test_torchrun_starts_lost_ranks_again(images: Path, tmp_path: Path) -> None:
    """`torchrun --max-restarts`: a rank is killed, all start again, and go on from the last checkpoint."""
    out = tmp_path / "run"
    given = words(images, out, save_every="5", steps="52", val_every="6000")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    job = subprocess.Popen(
        [sys.executable, "-m", *torchrun, "-m", "fastsr", *given],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )  # fmt: skip
    output, killed = "", False
    assert job.stdout is not None
    for line in job.stdout:
        output += line
        if not killed and "training " in line and any((out / "checkpoints").glob("step-*")):
            os.kill(process_of_rank(job.pid, 1), signal.SIGKILL)
            killed = True
    errors = job.communicate()[1]
    assert job.returncode == 0, errors
    continued = re.search(rf"continuing {out} at step (\d+)", output)
    assert continued and int(continued[1]) in range(5, 60, 5), output
    assert "done: step 60 of 60" in output
    assert errors.count("fastsr: ") == 1, f"one line, of the rank that was left: {errors}"


def process_of_rank(parent: int, rank: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in map(int, children):
        variables = Path(f"/proc/{child}/environ").read_text().split("\0")
        if f"RANK={rank}" in variables:
            return child
    raise AssertionError(f"no rank {rank} among {children}")
