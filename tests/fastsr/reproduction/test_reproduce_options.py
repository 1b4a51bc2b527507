"""`fastsr reproduce` with scores over several checkpoints, control pairs, and a part of the images for PI."""

import json
from pathlib import Path

import pytest

from fastsr.cli.main import main
from fastsr.evaluation.results import Evaluation
from tests.fastsr.reproduction.test_reproduce import (
    home,  # noqa: F401  # pyright: ignore[reportUnusedImport]
    tables,
    words,
)

pytestmark = pytest.mark.usefixtures("elsewhere")
OPTIONS = (
    "--scales",
    "4",
    "--average-checkpoints",
    "2",
    "--controls",
    "one-way",
    "--pi-images",
    "2",
)


def test_checkpoints_are_averaged_and_controls_trained(
    home: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words("all", *OPTIONS, steps=4)) == 0
    said = capsys.readouterr().out
    assert "pair, and beside them 1 control pair; about " in said
    assert "1 of 1 run done\n" in said
    run = home / "all/x4-seed0"
    files = [run / "evaluations/step-00000004/evaluation.json", run / "evaluation/evaluation.json"]
    both = [Evaluation.read(file) for file in files]
    assert [one.step for one in both] == [4, 6]
    written = tables(home / "all")
    row = written["tables"][0]["rows"][0]
    assert [*row["variants"]] == ["Independent", "ML", "ML*", "One-way"]
    want = sum(one.mean("A", "peer 6", "psnr") for one in both) / 2
    assert row["variants"]["One-way"]["peers"][0] == pytest.approx(want)
    assert written["notes"][:2] == [
        "every score is the mean over the last 2 checkpoints",
        "NIQE and PI are measured on 2 images of each set, evenly spaced",
    ]
    assert written["discriminators"][0]["opinions"][0]["values"]["One-way"]["mean"] > 0
    peers = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "kl_real" in line]
    taught = [peer["kl_real"] > 0 for peer in json.loads(peers[-1])["peers"]]
    assert taught == [False, False, *[True] * 6]
    assert main(words("all", *OPTIONS, steps=4)) == 0
    said = capsys.readouterr().out
    assert "x4-seed0 at step 4 is evaluated" in said and "x4-seed0 is evaluated" in said


def test_too_few_checkpoints_are_told_before_anything_is_trained(
    home: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words("all", "--average-checkpoints", "3")) == 2
    assert "--average-checkpoints 3 needs as many in 3 adversarial steps" in capsys.readouterr().err
    assert not (home / "all").exists()
