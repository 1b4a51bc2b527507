"""Two GPUs: NCCL within the captured step."""

import json
from pathlib import Path

import pytest
import torch

from tests.fastsr.distributed.ranks import run, words

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]


@pytest.mark.parametrize("mesh", ["2x1", "1x2"])
def test_a_captured_step_trains_as_one_that_is_not(images: Path, tmp_path: Path, mesh: str) -> None:
    """The exchange of logits, the sums of gradients and those of BN are captured; losses are those without a graph."""
    losses: list[list[float]] = []
    for graph in ("on", "off"):
        out = tmp_path / graph
        given = words(images, out, device="cuda", graph=graph, mesh=mesh, peers="2")
        job = run(tmp_path / f"logs-{graph}", given, 2)
        assert f"(NCCL), mesh {mesh}" in job.out(0)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses.append(
            [
                peer["bce_real"]
                for row in rows
                for peer in row.get("peers", ())
                if "bce_real" in peer
            ]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
