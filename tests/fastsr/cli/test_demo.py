"""`fastsr train` without anything: what a new user sees first has to be better than bicubic."""

import json
from pathlib import Path

import pytest

from tests.fastsr.cli.command_line import Fastsr


@pytest.mark.timeout(1800)
def test_the_demonstration_ends_above_bicubic(fastsr: Fastsr) -> None:
    """The recipe as it is, on the photos that come with fastsr: some 200 s of one core. Both peers gain, in PSNR."""
    outcome = fastsr("train", "--out", "demo", "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [json.loads(line) for line in Path("demo/metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "validation"][-1]
    psnr = {name: scores["psnr"] for name, scores in last["scores"].items()}
    assert last["step"] == max(row["step"] for row in rows)
    assert {name for name, value in psnr.items() if value > psnr["bicubic"]} == {"peer 0", "peer 1"}
