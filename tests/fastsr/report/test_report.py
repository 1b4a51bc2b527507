"""The report: what it says is what the files say, it is one file that loads nothing, and it works by keyboard."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastsr.errors import UserError
from fastsr.report import write_report
from fastsr.report.charts import Scale, Series, labels_of, line_chart, linear_ticks, log_ticks
from fastsr.report.curves import calibration_error, compared_pairs, thinned
from fastsr.report.pictures import liveliest
from fastsr.report.reproduction import Difference
from fastsr.report.runs import collect, read_run
from fastsr.report.tables import listed
from tests.fastsr.report.report_fixture import SIX, change, write_reproduction, write_run

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 5_000_000


class Page(HTMLParser):
    """Every tag with its attributes, every table as rows of cells, and all text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.in_cell = self.in_script = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag in ("script", "style")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")
        self.in_script = False

    def handle_data(self, data: str) -> None:
        if self.in_script:
            return
        self.words.append(data)
        if self.in_cell:
            self.tables[-1][-1][-1] += f" {data} "

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, table: int, start: str) -> list[str]:
        rows = [row for row in self.tables[table] if row and " ".join(row[0].split()).startswith(start)]
        return [" ".join(cell.split()).replace("−", "-") for cell in rows[0]]


def page_of(folder: Path, *more: Path) -> Page:
    out = folder.parent / "page" / "report.html"
    assert write_report((folder, *more), out) == out
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_run(tmp_path_factory.mktemp("report") / "x4")


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_reproduction(tmp_path_factory.mktemp("report") / "reproduction")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def evaluation(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation" / "evaluation.json").read_text())


def assert_self_contained(page: Page) -> None:
    policy = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy and policy[0] and policy[0].startswith("default-src 'none'; img-src data:;")
    assert page.of("img") and all((image["src"] or "").startswith("data:image/") for image in page.of("img"))
    assert all(image["alt"] for image in page.of("img"))
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("href", "src")]
    assert all(link and link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"https?://|url\(|@import|fetch\(|innerHTML", page.source)


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
        expected = [content["means"][name][model][metric] for name in content["sets"] for metric in content["metrics"]]
        for cell, value in zip(cells, expected, strict=True):
            digits = len(cell.split()[0].partition(".")[2])
            assert cell.split()[0] == f"{value:.{digits}f}"
    assert [cell.split()[0] for cell in [row[0] for row in page.tables[0][2:]]] == ["bicubic"] + ["peer"] * 4
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
    for index, table in enumerate(content["tables"]):
        digits = 2 if table["metric"] == "psnr" else 4
        for row in table["rows"]:
            cells = page.row(index, row["set"])
            assert cells[1] == f"{row['bicubic']:.{digits}f}"
            for column, variant in enumerate(row["variants"].values()):
                assert cells[2 + 2 * column].startswith(f"{variant['mean']:.{digits}f}")
                assert all(f"{value:.{digits}f}" in cells[2 + 2 * column] for value in variant["peers"])
                paper = variant["paper"]
                assert cells[3 + 2 * column] == ("– not measured" if paper is None else f"{paper:.{digits}f}")
            for column, difference in enumerate(row["differences"].values()):
                shown = "– not measured" if difference is None else f"{difference['mean']:+.{digits}f}"
                assert cells[8 + column].startswith(shown)
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


@pytest.mark.parametrize(
    ("low", "high", "higher", "verdict"),
    [
        (0.1, 0.2, True, "better"), (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"), (-0.2, -0.1, False, "better"),
        (-0.1, 0.1, True, "within"), (0.0, 0.1, True, "within"), (nan, 0.1, True, "open"),
    ],
)  # fmt: skip
def test_verdicts(low: float, high: float, higher: bool, verdict: str) -> None:
    assert Difference(0.1, low, high).verdict(higher) == verdict


def test_crops_carry_their_scores_and_every_method(run: Path) -> None:
    page, content = page_of(run), evaluation(run)
    score = {(row["set"], row["image"], row["model"]): row["psnr"] for row in content["images"]}
    assert f"peer 0 (ML) {score['Set14', 'set14-1.png', 'peer 0']:.2f} dB" in page.text
    methods = 4  # bicubic, two averaged peers, the original
    assert len(page.of("img")) == 4 * methods * 2
    assert len(page.of("select")) == 8 and len(page.of("option")) == 8 * methods
    selected = [option["value"] for option in page.of("option") if "selected" in option]
    assert selected == ["0", "1"] * 4


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
    rows += [[], 3, {"kind": "train"}, {"kind": "validation", "step": 2, "scores": {"bicubic": {"psnr": None}}}]
    (copy / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = page_of(copy)
    assert "Disagreement of discriminators: no finite values." in page.text
    numbers = [value for _, tag in page.tags for key, value in tag.items() if key in ("d", "x", "y", "transform")]
    assert numbers and not any(re.search("nan|inf", value or "") for value in numbers)


def broken_json(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text('{"format": 1, ') and None


def picture_of_other_size(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "evaluation/pictures/Set5/set5-0/peer-1.png")


def without_means(folder: Path) -> None:
    content = evaluation(folder)
    del content["means"]
    (folder / "evaluation/evaluation.json").write_text(json.dumps(content))


def picture_outside(folder: Path) -> None:
    files = {"HR": "../../../x.png"}
    change(folder / "evaluation/evaluation.json", pictures=[{"set": "Set5", "image": "a", "files": files}])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.toml").unlink(), "is no run: it has no config.toml"),
        (lambda folder: (folder / "config.toml").write_text("[cohort"), "config.toml cannot be read"),
        (lambda folder: (folder / "config.toml").write_text("[cohort]\npears = 2"), "has no setting 'pears'"),
        (lambda folder: (folder / "config.toml").write_text("[cohort]\nmixing_matrix = [[1]]"), "must have 2 rows"),
        (broken_json("environment.json"), "environment.json is damaged"),
        (broken_json("evaluation/evaluation.json"), "evaluation.json is damaged"),
        (broken_json("tables.json"), "tables.json is damaged"),
        (lambda folder: change(folder / "evaluation/evaluation.json", format=9), "has format 9, not 1"),
        (lambda folder: change(folder / "evaluation/evaluation.json", means=[]), "evaluation.json is damaged"),
        (without_means, "it lacks 'means'"),
        (picture_of_other_size, "peer-1.png is 9x9, not 150x200 as HR.png is"),
        (lambda folder: (folder / "evaluation/pictures/Set5/set5-0/HR.png").unlink(), "HR.png does not exist"),
        (lambda folder: (folder / "evaluation/pictures/Set5/set5-0/HR.png").write_text("x"), "is not an image"),
        (picture_outside, "lies outside"),
    ],
)
def test_bad_input_is_one_line(damage: Callable[[Path], object], words: str, copy: Path, tmp_path: Path) -> None:
    damage(copy)
    out = tmp_path / "report.html"
    out.write_text("before")
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        write_report((copy,), out)
    assert "\n" not in str(caught.value)
    assert out.read_text() == "before" and not list(tmp_path.glob(".*"))


def test_runs_that_cannot_be_found_or_written(run: Path, reproduction: Path, tmp_path: Path) -> None:
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


def test_variants_and_pairs(reproduction: Path, run: Path) -> None:
    six = read_run(reproduction / "x2-seed0")
    assert [peer.variant for peer in six.peers] == ["Independent"] * 2 + ["ML"] * 2 + ["ML*"] * 2
    pairs = [(a.index, b.index, variant) for a, b, variant in compared_pairs(six)]
    assert pairs == [(0, 1, "Independent"), (2, 3, "ML"), (4, 5, "ML*")]
    two = collect(run)
    assert not hasattr(two, "tables")
    assert [peer.label for peer in read_run(run).peers] == ["peer 0 (ML)", "peer 1 (ML)"]


def test_many_pairs_become_means(tmp_path: Path) -> None:
    from fastsr.config.settings import CohortConfig

    page = page_of(write_run(tmp_path / "all", CohortConfig(peers=5), evaluated=False))
    assert "ML, mean of 10 pairs" in page.text


def test_thinning_averages_in_bins() -> None:
    xs, ys = thinned(range(1000), [float(k) for k in range(1000)], 400)
    assert len(xs) <= 400
    assert xs[:2] == ys[:2] == (1.0, 4.0)
    assert thinned([1, 2, 3, 4], [nan, 2.0, nan, nan], 2)[1][0] == 2.0
    assert isnan(thinned([1, 2, 3, 4], [nan, 2.0, nan, nan], 2)[1][1])
    assert thinned([], [], 5) == ((), ())


def test_axes() -> None:
    assert linear_ticks(0, 2500) == [0, 500, 1000, 1500, 2000, 2500]
    assert log_ticks(0.004, 30) == [0.01, 0.1, 1, 10]
    assert labels_of([0, 0.5, 1.0], False) == ["0", "0.5", "1.0"]
    assert labels_of([0, 20_000, 40_000], False) == ["0", "20k", "40k"]
    assert Scale(1, 100, 0, 10, log=True)(10) == 5
    assert "log scale" in line_chart("t", "u", [Series("a", (1, 2), (0.001, 1.0))])
    assert "log scale" not in line_chart("t", "u", [Series("a", (1, 2), (0.1, 1.0))])
    for values in ((1.0, 1.0), (0.0, 0.0), (-5.0, 3.0), (nan, 2.0), (1e-12, 1e12)):
        chart = line_chart("t", "u", [Series("a", (0, 0), values)])
        assert "<path" in chart and "nan" not in chart


def test_calibration_error() -> None:
    assert calibration_error([0] * 9 + [95], [0] * 9 + [5]) == pytest.approx(0)
    assert calibration_error([0] * 9 + [50], [0] * 9 + [50]) == pytest.approx(0.45)


def test_crop_is_where_the_original_varies_most() -> None:
    image = np.zeros((50, 70))
    image[30:38, 40:48] = np.random.default_rng(0).normal(0, 1, (8, 8))
    box = liveliest(image, 8)
    assert (box.top, box.left, box.height, box.width) == (30, 40, 8, 8)
    whole = liveliest(image, 100)
    assert (whole.height, whole.width) == (50, 70)


def test_lists_read_well() -> None:
    assert [listed(items) for items in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
