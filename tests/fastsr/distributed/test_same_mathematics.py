"""However a training is dealt over ranks, its losses, weights and files are those of one process."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.fastsr.distributed.ranks import run, words


def tensors(run: Path) -> dict[str, Tensor]:
    """Every tensor of the latest checkpoint, which is that of step 50."""
    latest = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert latest.name == "step-00000050"
    return {
        f"{file.name}/{name}": value
        for file in sorted(latest.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def metrics(run: Path) -> list[dict[str, Any]]:
    """All rows, without what the clock says."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "wall"} for row in rows]


def assert_equal_runs(run: Path, other: Path) -> None:
    a, b = tensors(run), tensors(other)
    assert a.keys() == b.keys()
    assert len(a) > 100
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert metrics(run) == metrics(other)


def test_peers_dealt_over_ranks_are_those_of_one_process(images: Path, alone: Path) -> None:
    """Bit for bit after 50 steps, with ranks that have one peer and two."""
    out = images.parent / "dealt"
    job = run(out.parent / "dealt-logs", words(images, out), 2)
    assert_equal_runs(out, alone)
    assert "2 processes (gloo), mesh 2x1: peers 0 | 1 2; whole batches" in job.out(0)
    assert "done: step 50 of 50" in job.out(0)
    assert job.out(1) == "", "the first rank speaks for all"
    assert job.errors(0) == job.errors(1) == []
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = [row["wall"]["rank_seconds"] for row in rows if row["kind"] == "train"]
    assert all(len(of_ranks) == 2 and min(of_ranks) > 0 for of_ranks in times)


def test_a_run_goes_on_with_another_number_of_ranks(images: Path, alone: Path) -> None:
    """Three ranks until step 22, then two: the files of a checkpoint do not tell who wrote them."""
    out = images.parent / "moved"
    run(out.parent / "moved-logs-3", words(images, out, steps="14"), 3)
    again = [*words(images, out, val_every="25"), "--resume"]
    job = run(out.parent / "moved-logs-2", again, 2)
    assert "at step 22" in job.out(0)
    a, b = tensors(out), tensors(alone)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_batches_cut_into_slices_train_as_whole_ones(images: Path, alone: Path) -> None:
    """To rounding, which a small learning rate keeps from growing, over 50 steps; with BN over whole batches."""
    out = images.parent / "sliced"
    job = run(out.parent / "sliced-logs", words(images, out, mesh="2x2"), 4)
    assert "mesh 2x2: peers 0 | 1 2; each batch in slices of 2" in job.out(0)
    for a, b in zip(metrics(out), metrics(alone), strict=True):
        assert a["step"] == b["step"]
        for peer, other in zip(a.get("peers", ()), b.get("peers", ()), strict=True):
            for name in peer:
                assert abs(peer[name] - other[name]) < 1e-4 * abs(other[name]) + 1e-8, name
    a, b = tensors(out), tensors(alone)
    apart = {name: float((a[name] - b[name]).abs().max()) for name in a if "adam" not in name}
    # 50 steps of Adam move a weight by 5e-4.
    assert {
        name: x for name, x in apart.items() if x > 1e-4 * (1 + float(b[name].abs().max()))
    } == {}
