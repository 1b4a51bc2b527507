"""Several runs on one page: which they are, and what of them is compared."""

import shutil
from math import isnan
from pathlib import Path

import pytest

from fastsr.config.settings import CohortConfig
from fastsr.report.across import bicubic_row, run_rows, setting_texts, shared_sets
from fastsr.report.folders import collect_all, runs_of
from fastsr.report.overlay import groups_of, loss_line
from fastsr.report.runs import read_run
from tests.fastsr.report.pages import Page, assert_self_contained, evaluation, page_of
from tests.fastsr.report.report_fixture import SIX, change, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of x4, one of x2, and what is no run."""
    folder = tmp_path_factory.mktemp("across") / "runs"
    write_run(folder / "seed10", SIX)
    write_run(folder / "seed2")
    write_run(folder / "young", CohortConfig(peers=3), scale=2, until=1000, evaluated=False)
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return page_of(folder)


def table_with(page: Page, head: str) -> list[list[str]]:
    """The first table whose first cell is this one, as words."""
    tables = (table for table in page.tables if table[0][0].split() == head.split())
    return [[" ".join(cell.split()) for cell in row] for row in next(tables)]


def test_a_folder_of_runs_is_opened_in_natural_order(folder: Path) -> None:
    assert [run.name for run in runs_of(collect_all([folder]))] == ["seed2", "seed10", "young"]
    twice = collect_all([folder / "young", folder, folder / "seed2" / ".." / "seed2"])
    assert [part.name for part in twice] == ["young", "seed2", "seed10"]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for half in ("even", "odd"):
        write_run(tmp_path / half / "x4", until=100, evaluated=False)
    parts = collect_all([tmp_path / "even", tmp_path / "odd"])
    assert [part.name for part in parts] == ["even/x4", "odd/x4"]


def test_a_page_of_runs_is_self_contained_and_names_each(page: Page) -> None:
    assert_self_contained(page)
    assert {"across", "run-0", "run-1", "run-2"} <= {tag.get("id") for _, tag in page.tags}
    names = [tag["id"] for _, tag in page.tags if "id" in tag]
    assert len(names) == len(set(names))
    overview = table_with(page, "run")
    assert [row[0] for row in overview[1:]] == ["seed2", "seed10", "young"]
    assert overview[3][1:4] == ["x2", "3 (ML)", "1,000 of 2,500"]


def test_one_run_is_not_compared(run: Path) -> None:
    assert "across" not in {tag.get("id") for _, tag in page_of(run).tags}


def test_results_are_means_over_the_peers_of_a_variant(folder: Path, page: Page) -> None:
    means = evaluation(folder / "seed10")["means"]["Set14"]
    wanted = [(means["peer 4"][key] + means["peer 5"][key]) / 2 for key in ("psnr", "ssim", "niqe")]
    rows = [row for row in table_with(page, "run") if row[0]]
    run = read_run(folder / "seed10")
    found = run_rows(run, "run-1", shared_sets([run]))[2]
    assert found.about == ("ML*, 2 peers", "2,500")
    sets = {one.name: one for one, _ in found.values}
    keys = ("psnr", "ssim", "niqe")
    assert [found.values[sets["Set14"], key] for key in keys] == pytest.approx(wanted)
    assert rows and "Not evaluated on whole test images yet: young." in page.text


def test_bicubic_comes_from_whichever_run_has_it(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "seed2", tmp_path / "copy"))
    content = evaluation(copy)
    del content["means"]["Set5"]["bicubic"]
    change(copy / "evaluation" / "evaluation.json", means=content["means"])
    runs = [read_run(copy), read_run(folder / "seed10")]
    row = bicubic_row(runs, shared_sets(runs))
    assert sorted({one.name for one, _ in row.values}) == ["Set14", "Set5"]


def test_sets_of_other_images_get_columns_of_their_own(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "seed2", tmp_path / "copy"))
    content = evaluation(copy)
    content["sets"]["Set5"]["images"] = 3
    change(copy / "evaluation" / "evaluation.json", sets=content["sets"])
    runs = [read_run(copy), read_run(folder / "seed2")]
    assert sorted(shared_sets(runs)) == [("Set14", 14), ("Set5", 3), ("Set5", 5)]


def test_settings_that_differ(folder: Path, page: Page) -> None:
    rows = {row[0].replace(". ", "."): row[1:] for row in table_with(page, "setting")}
    assert rows["setting"] == ["seed2", "seed10", "young"]
    assert rows["model.scale"] == ["4", "4", "2"]
    assert rows["cohort.peers"] == ["2", "6", "3"]
    assert "output.out" not in rows and "model.blocks" not in rows
    assert "output.out" not in setting_texts(read_run(folder / "seed2"))


def test_curves_are_overlaid_run_by_run_and_variant_by_variant(folder: Path) -> None:
    groups = groups_of(runs_of(collect_all([folder])))
    assert [group.line.label for group in groups] == [
        "seed2", "seed10 (Independent)", "seed10 (ML)", "seed10 (ML*)", "young",
    ]  # fmt: skip
    assert [group.line.style for group in groups] == [0, 1, 1, 1, 2]
    (line,) = loss_line(groups[1], "training", "content", 1000)
    row = next(row for row in groups[1].run.training if row.stage == "training")
    assert line.ys[0] == pytest.approx((row.peers[0]["content"] + row.peers[1]["content"]) / 2)
    assert loss_line(groups[1], "training", "kl_real", 1000) == []
    assert not any(isnan(y) for y in line.ys)


def test_pictures_left_behind_are_said(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "evaluation" / "pictures")
    assert "The evaluation's pictures are not in" in page_of(copy).text
