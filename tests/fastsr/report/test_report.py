"""The report: it says what the files say, and it is one file that loads nothing."""

import json
import shutil
from math import nan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr.reproduction.comparison import outcome
from fastsr.reproduction.intervals import Difference
from tests.fastsr.report.pages import assert_self_contained, evaluation, page_of
from tests.fastsr.report.report_fixture import SIX, change, write_run

LIMIT = 5_000_000


def test_page_is_self_contained_and_small(run: Path, reproduction: Path) -> None:
    for folder in (run, reproduction):
        page = page_of(folder)
        assert_self_contained(page)
        assert len(page.source.encode()) < LIMIT
        names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(names) == len(set(names))
        targets = [link["href"] for link in page.of("a")]
        assert {target.removeprefix("#") for target in targets if target} <= set(names)


def test_pictures_of_noise_stay_within_the_limit(tmp_path: Path) -> None:
    """Nothing compresses worse. Eight pictures, eight methods each."""
    folder = write_run(tmp_path / "noise", SIX)
    rng = np.random.default_rng(0)
    for file in folder.rglob("evaluation/pictures/*/*/*.png"):
        Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(file)
    page = page_of(folder)
    assert len(page.source.encode()) < LIMIT
    assert len(page.of("img")) >= 16


def test_evaluation_table_equals_its_file(run: Path) -> None:
    page, content = page_of(run), evaluation(run)
    for model, about in content["models"].items():
        label = f"{model} ({about['variant']})" if about else model
        cells = page.row(0, label)[2:]
        expected = [
            content["means"][name][model][metric]
            for name in content["sets"]
            for metric in content["metrics"]
        ]
        for cell, value in zip(cells, expected, strict=True):
            digits = len(cell.split()[0].partition(".")[2])
            assert cell.split()[0] == f"{value:.{digits}f}"
    assert [cell.split()[0] for cell in [row[0] for row in page.tables[0][2:]]] == ["bicubic"] + [
        "peer"
    ] * 4
    assert page.row(0, "peer 1 (ML)")[2] == "29.48 (best)"
    assert "best" not in "".join(page.row(0, "peer 0 (ML)"))
    assert page.row(0, "peer 0 raw")[1] == "raw"


def test_best_is_the_lowest_where_lower_is_better(copy: Path) -> None:
    content = evaluation(copy)
    content["means"]["Set5"]["bicubic"]["niqe"] = 0.5
    content["means"]["Set5"]["peer 0"]["pi"] = None
    change(copy / "evaluation" / "evaluation.json", means=content["means"])
    row = page_of(copy).row(0, "bicubic")
    assert row[4] == "0.500 (best)"
    assert page_of(copy).row(0, "peer 0 (ML)")[5] == "– not measured"


def test_reproduction_tables_equal_their_file(reproduction: Path) -> None:
    page, content = page_of(reproduction), json.loads((reproduction / "tables.json").read_text())
    by_scale = sorted(content["tables"], key=lambda table: table["scale"])
    assert by_scale != content["tables"]
    for index, table in enumerate(by_scale):
        digits = 2 if table["metric"] == "psnr" else 4
        for row in table["rows"]:
            cells = page.row(index, row["set"])
            assert cells[1] == f"{row['bicubic']:.{digits}f}"
            rest = iter(cells[2:])
            for variant in row["variants"].values():
                cell = next(rest)
                assert cell.startswith(f"{variant['mean']:.{digits}f}")
                assert all(f"{value:.{digits}f}" in cell for value in variant["peers"])
                if variant["paper"] is not None:
                    assert next(rest) == f"{variant['paper']:.{digits}f}"
            for difference in row["differences"].values():
                shown = (
                    "– not measured" if difference is None else f"{difference['mean']:+.{digits}f}"
                )
                assert next(rest).startswith(shown)
            assert not list(rest)
    for sentence in (
        "ML beat Independent on Set14 and BSD100.",
        "On Set5 the 95 % interval holds zero: no difference is shown.",
        "On Urban100 no interval can be given.",
        "ML* fell short of Independent on Set14.",
        "Peers that differ in their initial weights alone have a standard deviation of 0.04 dB",
        "what differs from the paper: 6 blocks instead of 32",
        "800 images",
    ):
        assert sentence in page.text.replace("\u00a0", " "), sentence


def test_the_caveat_comes_before_who_beat_whom(reproduction: Path) -> None:
    text = page_of(reproduction).text
    assert 0 < text.index("How far initial weights alone") < text.index("ML beat Independent")


def test_bicubic_is_marked_where_it_is_best(reproduction: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(reproduction, tmp_path / "copy"))
    tables = json.loads((folder / "tables.json").read_text())["tables"]
    tables[-1]["rows"][0]["bicubic"] = 40.0
    change(folder / "tables.json", tables=tables, runs=[])
    assert page_of(folder).row(1, "Set5")[1] == "40.0000 (best)"


@pytest.mark.parametrize(
    ("low", "high", "higher", "verdict"),
    [
        (0.1, 0.2, True, "better"), (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"), (-0.2, -0.1, False, "better"),
        (-0.1, 0.1, True, "within"), (0.0, 0.1, True, "within"), (nan, 0.1, True, "open"),
    ],
)  # fmt: skip
def test_verdicts(low: float, high: float, higher: bool, verdict: str) -> None:
    assert outcome(Difference(0.1, low, high), higher) == verdict


def test_crops_carry_their_scores_and_every_method(run: Path) -> None:
    page, content = page_of(run), evaluation(run)
    score = {(row["set"], row["image"], row["model"]): row["psnr"] for row in content["images"]}
    assert f"peer 0 (ML) {score['Set14', 'set14-1.png', 'peer 0']:.2f} dB" in page.text
    methods = 4  # bicubic, two averaged peers, the original
    assert len(page.of("img")) == 4 * methods * 2
    assert len(page.of("select")) == 8 and len(page.of("option")) == 8 * methods
    selected = [option["value"] for option in page.of("option") if "selected" in option]
    assert selected == ["1", "3"] * 4


def test_the_newest_environment_of_several_is_shown(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "continued"))
    old = json.loads((folder / "environment.json").read_text())
    sessions = [{**old, "processor": "Abacus 1"}, {**old, "processor": "Abacus 2"}]
    (folder / "environment.json").write_text(json.dumps(sessions))
    text = page_of(folder).text
    assert "Abacus 2" in text and "Abacus 1" not in text
    assert "2, this is the newest" in text


def test_names_are_escaped(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "<b>&"))
    content = evaluation(folder)
    content["protocol"]["<i>"] = '"><script>alert(1)</script>'
    content["sets"]["Set5"]["notes"] = ["<u>note</u>"]
    change(folder / "evaluation" / "evaluation.json", **content)
    change(folder / "environment.json", processor="<s>fast</s>")
    page = page_of(folder)
    assert "<b>&" in page.text and "<u>note</u>" in page.text and "<s>fast</s>" in page.text
    assert not {"i", "u", "s"} & {tag for tag, _ in page.tags}
    assert len(page.of("script")) == 1
    assert all(attributes.get("class") for attributes in page.of("b"))
