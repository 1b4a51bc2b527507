"""`fastsr report`, and the way to it: train, evaluate, look at the page."""

import json
import re
import shutil
from html import escape
from pathlib import Path

import pytest

from fastsr.report.page import GENERATOR
from tests.fastsr.cli.command_line import (
    Fastsr,
    Outcome,
    Trained,
    assert_one_line,
    run_without_torch,
)
from tests.fastsr.report.report_fixture import write_run


@pytest.fixture
def odd(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, whose name means something in HTML and on the terminal."""
    return Path(shutil.copytree(trained.folder, tmp_path / "x2 <b>&[v2]"))


def psnr_of(printed: str) -> dict[str, str]:
    """PSNR of each model, as the table of one set on the screen has it."""
    return dict(re.findall(r"^│ (\S.*?) +│ +(\d+\.\d\d) │", printed, re.MULTILINE))


def row_of(page: str, model: str) -> str:
    (row,) = re.findall(
        rf'<th scope="row">{re.escape(escape(model))}</th>(.*?)</tr>', page, re.DOTALL
    )
    return row


def test_train_then_eval_then_report(fastsr: Fastsr, odd: Path, data: Path) -> None:
    evaluated = fastsr("eval", odd, "--sets", data, "--device", "cpu")
    assert (evaluated.code, evaluated.err) == (0, "")
    assert evaluated.out.splitlines()[-1].endswith(
        f"; everything: {odd}/evaluation/evaluation.json"
    )
    printed = psnr_of(evaluated.out)
    assert list(printed) == [
        "bicubic",
        "peer 0 (ML)",
        "peer 1 (ML)",
        "peer 0 raw (ML)",
        "peer 1 raw (ML)",
    ]
    assert fastsr("report", odd) == Outcome(0, f"{odd}/report.html\n", "")
    page = (odd / "report.html").read_text(encoding="utf-8")
    assert "<h1>x2 &lt;b&gt;&amp;[v2]</h1>" in page
    assert all(psnr in row_of(page, model) for model, psnr in printed.items())


def test_eval_prints_what_it_writes(fastsr: Fastsr, odd: Path, data: Path) -> None:
    printed = psnr_of(
        fastsr("eval", odd, "--sets", data, "--metrics", "psnr", "--weights", "ema").out
    )
    means = json.loads((odd / "evaluation/evaluation.json").read_text())["means"]["data"]
    assert list(means) == ["bicubic", "peer 0", "peer 1"]
    assert list(printed.values()) == [f"{values['psnr']:.2f}" for values in means.values()]


def test_a_run_that_is_not_evaluated_is_shown(fastsr: Fastsr, odd: Path) -> None:
    assert fastsr("report", odd).code == 0
    assert "Not evaluated on whole test images yet; fastsr eval " in (
        odd / "report.html"
    ).read_text(encoding="utf-8")


def test_the_page_of_two_runs_lies_here(fastsr: Fastsr, odd: Path, trained: Trained) -> None:
    assert fastsr("report", odd, trained.folder) == Outcome(0, "report.html\n", "")
    page = Path("report.html").read_text(encoding="utf-8")
    assert escape(odd.name) in page and escape(trained.folder.name) in page
    assert not (odd / "report.html").exists()


def test_the_page_lies_where_it_is_asked_for(fastsr: Fastsr, odd: Path) -> None:
    assert fastsr("report", odd, "--out", "pages[v2]/x2.html") == Outcome(
        0, "pages[v2]/x2.html\n", ""
    )
    assert Path("pages[v2]/x2.html").is_file()
    assert not (odd / "report.html").exists()


def test_an_earlier_page_is_replaced(fastsr: Fastsr, odd: Path) -> None:
    assert fastsr("report", odd).code == 0
    (odd / "config.toml").write_text(
        (odd / "config.toml").read_text().replace("seed = 0", "seed = 7")
    )
    before = (odd / "report.html").read_text(encoding="utf-8")
    assert fastsr("report", odd).code == 0
    assert (odd / "report.html").read_text(encoding="utf-8") != before


def test_a_page_of_a_version_that_did_not_mark_it_is_replaced(fastsr: Fastsr, odd: Path) -> None:
    assert fastsr("report", odd).code == 0
    page = odd / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace(GENERATOR, ""), encoding="utf-8")
    assert fastsr("report", odd).code == 0
    assert GENERATOR in page.read_text(encoding="utf-8")


def test_a_file_of_somebody_else_is_replaced_only_where_that_is_asked_for(
    fastsr: Fastsr, odd: Path
) -> None:
    page = odd / "report.html"
    page.write_bytes(b"precious \xff")
    said = f"{page} is no page of fastsr; choose another --out, or add --overwrite"
    assert_one_line(fastsr("report", odd), said)
    assert page.read_bytes() == b"precious \xff"
    assert fastsr("report", odd, "--overwrite").code == 0
    assert (odd / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_imports_no_torch(tmp_path: Path) -> None:
    run = write_run(tmp_path / "x4", side=64)
    process = run_without_torch("report", run)
    assert (process.returncode, process.stdout, process.stderr) == (0, f"{run}/report.html\n", "")
    assert "<h1>x4</h1>" in (run / "report.html").read_text(encoding="utf-8")


def test_report_without_a_run(fastsr: Fastsr) -> None:
    assert_one_line(fastsr("report"), "fastsr report needs RUN ...; see fastsr report --help")


def test_report_of_folders_that_are_no_runs(fastsr: Fastsr, data: Path, odd: Path) -> None:
    assert_one_line(fastsr("report", "gone"), "gone is no folder; name a run")
    assert_one_line(fastsr("report", odd, data), f"{data} is no run: it has no config.toml")
    assert not Path("report.html").exists()


def test_report_of_a_damaged_evaluation(fastsr: Fastsr, odd: Path) -> None:
    file = odd / "evaluation/evaluation.json"
    file.parent.mkdir()
    file.write_text("{")
    assert_one_line(fastsr("report", odd), file)
    assert not (odd / "report.html").exists()


def test_report_with_a_folder_in_the_way(fastsr: Fastsr, odd: Path, data: Path) -> None:
    before = sorted(data.iterdir())
    assert_one_line(
        fastsr("report", odd, "--out", data), f"{data} cannot be written", "choose another --out"
    )
    assert sorted(data.iterdir()) == before
