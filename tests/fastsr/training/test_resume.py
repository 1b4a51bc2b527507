"""Interrupted training equals uninterrupted training, bit for bit: processes are killed for real."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.images import random_image

STEPS = 24


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for k in range(3):
        Image.fromarray(random_image(40 + k, 50 - k, k)).save(folder / f"{k}.png")
    return folder


def command(images: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "fastsr", "train", "--data", str(images), "--val", str(images), "--out", str(out),
        "--cache", str(images.parent / "cache"), "--scale", "2", "--blocks", "1", "--filters", "4",
        "--discriminator-filters", "2", "--patch", "16", "--batch", "2", "--content", "pixel", "--pretrain-steps", "8",
        "--steps", str(STEPS - 8), "--lr", "1e-3", "--lr-milestones", "12", "--log-every", "5", "--save-every", "2",
        "--val-every", "6", "--keep", "2", "--device", "cpu", *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def run_to_end(images: Path, out: Path, *more: str) -> str:
    result = subprocess.run(
        command(images, out, *more), capture_output=True, text=True, env=environment(), timeout=240
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def uninterrupted(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run_to_end(images, out)
    return out


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the latest checkpoint: weights, averages, statistics, optimiser states, the metrics ring."""
    checkpoint = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert checkpoint.name == f"step-{STEPS:08d}"
    return {
        f"{f.name}/{name}": value
        for f in sorted(checkpoint.glob("*.safetensors"))
        for name, value in load_file(f).items()
    }


def metrics(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("wall", None)
    return rows


def assert_equal_runs(run: Path, whole: Path) -> None:
    a, b = tensors(run), tensors(whole)
    assert a.keys() == b.keys()
    assert len(a) > 100
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert metrics(run) == metrics(whole)


def saves(run: Path) -> set[str]:
    folder = run / "checkpoints"
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def kill_when(process: subprocess.Popen[str], ready: Any, timeout: float = 200) -> bool:
    """SIGKILL as soon as `ready()`; False where the process ended first."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.0005)
    process.wait(timeout=60)
    return False


def test_the_metrics_cover_both_stages(uninterrupted: Path) -> None:
    rows = metrics(uninterrupted)
    assert [r["step"] for r in rows if r["kind"] == "train"] == [5, 8, 10, 15, 20, 24]
    assert [r["step"] for r in rows if r["kind"] == "validation"] == [6, 12, 18, 24]
    assert {r["stage"] for r in rows if r["kind"] == "train"} == {"pretraining", "training"}
    assert [r["lr"] for r in rows if r["kind"] == "train"] == pytest.approx(
        [1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4]
    )


def test_killed_at_random_moments(images: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Killed at random moments after some progress, three times, then run to the end."""
    out, rng, killed = tmp_path / "run", random.Random(5), 0
    for _ in range(3):
        before = saves(out)
        process = subprocess.Popen(
            command(images, out, "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        moment = rng.uniform(0, 0.4)
        first: list[float] = []

        def due(
            before: set[str] = before, first: list[float] = first, moment: float = moment
        ) -> bool:
            if not first and saves(out) - before:
                first.append(time.monotonic())
            return bool(first) and time.monotonic() - first[0] > moment

        killed += kill_when(process, due)
    assert killed, "at least one process was killed at work"
    run_to_end(images, out, "--resume")
    assert_equal_runs(out, uninterrupted)


def test_killed_during_a_save(images: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Killed while a checkpoint's temporary folder exists and is not complete."""
    out, killed = tmp_path / "run", 0
    for file in ("peer-0-generator.safetensors", "peer-1-ema.safetensors"):
        process = subprocess.Popen(
            command(images, out, "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        before = {name for name in saves(out) if name.startswith("step-")}

        def saving(file: str = file, before: set[str] = before) -> bool:
            fresh = {name for name in saves(out) if name.startswith("step-")} - before
            return bool(fresh) and any((out / "checkpoints").glob(f".saving-*/{file}"))

        killed += kill_when(process, saving)
    assert killed == 2, "both processes were killed in the middle of a save"
    run_to_end(images, out, "--resume")
    assert not [name for name in saves(out) if not name.startswith("step-")], (
        "leftovers are removed"
    )
    assert_equal_runs(out, uninterrupted)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name
)
def test_signals_save_and_stop(
    images: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """A polite stop saves at whatever step it is, also in the middle of a row of metrics, and says how to go on."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(images, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    deadline = time.monotonic() + 200
    while not any(n.startswith("step-") for n in saves(out)) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert f"Continue: fastsr train --resume --out {out}" in output
    continued = run_to_end(images, out, "--resume")
    assert "continuing" in continued
    assert_equal_runs(out, uninterrupted)


def test_resume_needs_no_other_option(
    images: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run remembers its settings: `--resume RUN` alone continues it from anywhere, here with more steps."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.chdir(images.parent)
        run_to_end(Path(images.name), out, "--steps", "6", "--cache", str(tmp_path / "cache"))
    result = subprocess.run(
        [sys.executable, "-m", "fastsr", "train", "--resume", str(out), "--steps", str(STEPS - 8)],
        capture_output=True, text=True, env=environment(), timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    a, b = tensors(out), tensors(uninterrupted)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
