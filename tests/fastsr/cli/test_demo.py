"""`fastsr train` without anything: what a new user sees first has to be better than bicubic."""

import json
import os
from pathlib import Path

import pytest


@pytest.fixture
def demo() -> Path:
    """A finished demonstration. It takes minutes, so somebody trains it before: .ci/run does."""
    if not (folder := os.environ.get("FASTSR_DEMO")):
        pytest.skip("FASTSR_DEMO is not the folder of a finished `fastsr train`")
    return Path(folder)


def test_the_demonstration_ends_above_bicubic(demo: Path) -> None:
    rows = [json.loads(line) for line in (demo / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "validation"][-1]
    psnr = {name: scores["psnr"] for name, scores in last["scores"].items()}
    assert last["step"] == max(row["step"] for row in rows)
    assert {name for name, value in psnr.items() if value > psnr["bicubic"]} == {"peer 0", "peer 1"}


def test_the_demonstration_ends_with_a_page(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert "demo" in page and page.rstrip().endswith("</html>")
