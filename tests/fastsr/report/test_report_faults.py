"""Reports of unfinished and damaged runs, and of several."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastsr.errors import UserError
from fastsr.report import write_report
from fastsr.report.page import GENERATOR
from tests.fastsr.report.pages import assert_self_contained, evaluation, page_of
from tests.fastsr.report.report_fixture import change, write_run

ROOT = Path(__file__).resolve().parents[3]


def test_settings_that_differ_are_marked(run: Path) -> None:
    page = page_of(run)
    assert "blocks 6 default: 32" in page.text
    assert "NVIDIA H200" in page.text and "as many pixels cut from each side" in page.text


def test_a_run_without_evaluation_says_how_to_get_one(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "young", evaluated=False)
    (folder / "pictures").mkdir()
    Image.new("RGB", (60, 40)).save(folder / "pictures" / "step-00001000.png")
    page = page_of(folder)
    assert f"fastsr eval {folder} --sets Set5" in page.text
    assert len(page.of("img")) == 1


def test_pretraining_only(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "young", until=200, evaluated=False))
    assert "The run is in pre-training" in page.text
    assert "Pre-training loss of G" in page.text and "Adversarial loss" not in page.text
    assert "No disagreement was recorded" in page.text and "No histograms" in page.text


def test_empty_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "empty", evaluated=False)
    for write in (lambda file: file.write_text(""), Path.unlink):
        write(folder / "metrics.jsonl")
        assert "No training metrics yet" in page_of(folder).text


def test_values_that_are_no_numbers_do_not_break_charts(copy: Path) -> None:
    peer = {
        "content": nan,
        "adversarial": inf,
        "bce_real": None,
        "bce_fake": "x",
        "kl_real": 0.0,
        "d_prob_real": 10**400,
    }
    rows: list[Any] = [
        {"kind": "train", "step": step, "stage": "training", "peers": [peer, peer], "lr": 1, "wall": None,
         "disagreement": [[0, nan], [None, 0]], "calibration": {"real": [[0] * 10] * 2, "generated": [[0] * 10] * 2}}
        for step in (1, 2)
    ]  # fmt: skip
    rows += [
        [],
        3,
        {"kind": "train"},
        {"kind": "validation", "step": 2, "scores": {"bicubic": {"psnr": None}}},
    ]
    (copy / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = page_of(copy)
    assert "Disagreement of discriminators: no finite values." in page.text
    numbers = [
        value
        for _, tag in page.tags
        for key, value in tag.items()
        if key in ("d", "x", "y", "transform")
    ]
    assert numbers and not any(re.search("nan|inf", value or "") for value in numbers)


def broken_json(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text('{"format": 1, ')


def picture_of_other_size(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "evaluation/pictures/Set5/set5-0/peer-1.png")


def without_means(folder: Path) -> None:
    content = evaluation(folder)
    del content["means"]
    (folder / "evaluation/evaluation.json").write_text(json.dumps(content))


IMPOSSIBLE = [
    ("[cohort]\npeers = 0", "config.toml --peers 0 cannot be used; use 1 or more"),
    ("[cohort]\npeers = 100000", "config.toml --peers 100000 cannot be used; use 1000 or fewer"),
    ("[cohort]\npeers = -1", "config.toml --peers -1 cannot be used"),
    ("[model]\nblocks = 0", "config.toml --blocks 0 cannot be used"),
    ("[optim]\nsteps = -5", "config.toml --steps -5 cannot be used"),
    ("[output]\nlog_every = 0", "config.toml --log-every 0 cannot be used"),
    ("[optim]\nlr = nan", "config.toml --lr nan cannot be used"),
]


def picture_outside(folder: Path) -> None:
    files = {"HR": "../../../x.png"}
    change(
        folder / "evaluation/evaluation.json",
        pictures=[{"set": "Set5", "image": "a", "files": files}],
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.toml").unlink(), "is no run: it has no config.toml"),
        (
            lambda folder: (folder / "config.toml").write_text("[cohort"),
            "config.toml cannot be read",
        ),
        (
            lambda folder: (folder / "config.toml").write_text("[cohort]\npears = 2"),
            "has no setting 'pears'",
        ),
        (
            lambda folder: (folder / "config.toml").write_text("[cohort]\nmixing_matrix = [[1]]"),
            "must have 2 rows",
        ),
        *(
            (lambda folder, text=text: (folder / "config.toml").write_text(text), words)
            for text, words in IMPOSSIBLE
        ),
        (broken_json("environment.json"), "environment.json is damaged"),
        (broken_json("evaluation/evaluation.json"), "evaluation.json is damaged"),
        (broken_json("tables.json"), "tables.json is damaged"),
        (
            lambda folder: change(folder / "evaluation/evaluation.json", format=9),
            "has format 9, not 1",
        ),
        (
            lambda folder: change(folder / "evaluation/evaluation.json", means=[]),
            "evaluation.json is damaged",
        ),
        (without_means, "it lacks 'means'"),
        (picture_of_other_size, "peer-1.png is 9x9, not 150x200 as HR.png is"),
        (
            lambda folder: (folder / "evaluation/pictures/Set5/set5-0/HR.png").unlink(),
            "HR.png does not exist",
        ),
        (
            lambda folder: (folder / "evaluation/pictures/Set5/set5-0/HR.png").write_text("x"),
            "is not an image",
        ),
        (picture_outside, "lies outside"),
    ],
)
def test_bad_input_is_one_line(
    damage: Callable[[Path], object], words: str, copy: Path, tmp_path: Path
) -> None:
    damage(copy)
    out = tmp_path / "report.html"
    out.write_text(f"{GENERATOR}before")
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        write_report((copy,), out)
    assert "\n" not in str(caught.value)
    assert out.read_text() == f"{GENERATOR}before" and not list(tmp_path.glob(".*"))


def test_runs_that_cannot_be_found_or_written(
    run: Path, reproduction: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is no folder"):
        write_report((tmp_path / "nothing",), tmp_path / "out.html")
    with pytest.raises(UserError, match="no run is given"):
        write_report((), tmp_path / "out.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report((run,), tmp_path / "file" / "out.html")
    partial = Path(shutil.copytree(reproduction, tmp_path / "partial"))
    change(partial / "tables.json", runs=["x2-seed0", "gone"])
    with pytest.raises(UserError, match=r"gone is no run|gone is no folder"):
        write_report((partial,), tmp_path / "out.html")
    change(partial / "tables.json", runs=["../x"])
    with pytest.raises(UserError, match="is not the name of a folder"):
        write_report((partial,), tmp_path / "out.html")


def test_several_runs_on_one_page(run: Path, reproduction: Path) -> None:
    page = page_of(run, reproduction)
    assert_self_contained(page)
    assert {"run-0", "run-1", "run-2", "reproduction-0"} <= {tag.get("id") for _, tag in page.tags}
    ids = [select["id"] for select in page.of("select")]
    assert len(ids) == len(set(ids)) <= 2 * 8


def test_torch_is_not_imported(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fastsr.report import write_report;"
        "write_report((Path(sys.argv[1]),), Path(sys.argv[2])); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(run), str(tmp_path / "report.html")]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)
