"""`fastsr data`: what there is to fetch, what is here, and what a person without network is told."""

import os
from pathlib import Path

import pytest

from fastsr.data.pack import pack_images
from fastsr.download.catalogue import BENCHMARK, DATASETS, Dataset
from tests.fastsr.cli.command_line import (
    Fastsr,
    Outcome,
    assert_one_line,
    run_without_torch,
    save_images,
)


def fill(dataset: Dataset, root: Path, side: int = 8) -> Path:
    """Puts as many images there as the data set has, all alike. Returns the first of its folders."""
    first = save_images(root / "one", 1, side, side) / "0.png"
    for split, folder in zip(dataset.splits, dataset.folders(root), strict=True):
        folder.mkdir(parents=True)
        for k in range(split.images):
            os.link(first, folder / f"{k:04d}.png")
    return dataset.folders(root)[0]


def listed(outcome: Outcome) -> dict[str, list[str]]:
    """Rows of the table by name: what for, images, download, where."""
    assert (outcome.code, outcome.err) == (0, "")
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in outcome.out.splitlines()[2:-1]
    ]
    return {name: cells for name, *cells in rows}


def test_list_has_every_data_set_and_how_to_get_it(fastsr: Fastsr, tmp_path: Path) -> None:
    outcome = fastsr("data", "list")
    assert outcome.out.startswith(f"below {tmp_path}/cache/fastsr/data:\n")
    assert outcome.out.endswith("\n* one download that they share\n")
    rows = listed(outcome)
    assert list(rows) == list(DATASETS) == ["div2k", "set5", "set14", "bsd100", "urban100"]
    for name, dataset in DATASETS.items():
        use, images, _, where = rows[name]
        assert (use, images) == (dataset.use, str(dataset.images))
        assert where == f"not here; fastsr data fetch {name}"
    assert (rows["div2k"][2], rows["set5"][2]) == ("4.0 GB", "250.1 MB *")


def test_the_list_fits_80_columns_wherever_it_is(
    fastsr: Fastsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    root = "/data/" + 30 * "deeper/"
    heading, *lines = fastsr("data", "list", "--root", root).out.splitlines()
    assert heading == f"below {root.removesuffix('/')}:"
    assert len(lines) == 2 + len(DATASETS)
    assert max(map(len, lines)) <= 80


def test_list_says_where_a_data_set_is_and_what_it_lacks(fastsr: Fastsr, tmp_path: Path) -> None:
    fill(DATASETS["set5"], tmp_path / "data")
    save_images(tmp_path / "data/Set14/HR", 3)
    rows = listed(fastsr("data", "list", "--root", "data"))
    assert rows["set5"][-1] == "Set5/HR"
    assert rows["set14"][-1] == "Set14/HR holds 3 of 14 images"
    assert rows["urban100"][-1] == "not here; fastsr data fetch urban100"


def test_list_imports_no_torch() -> None:
    process = run_without_torch("data", "list")
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("root", ["sets[v2]", "sets[/v2]"])
def test_brackets_in_the_folder_of_data_sets_are_text(fastsr: Fastsr, root: str) -> None:
    assert f"below {root}" in fastsr("data", "list", "--root", root).out


def test_fetch_without_network_names_the_address_and_where_to_put_the_file(
    fastsr: Fastsr, tmp_path: Path
) -> None:
    """Takes seconds: it tries again and again."""
    root = tmp_path / "cache/fastsr/data"
    outcome = fastsr("data", "fetch", "set5")
    remedy = f"run again later, or download it by hand, put it at {root}/.archives/benchmark.tar and run again"
    assert_one_line(outcome, f"{BENCHMARK.url} cannot be downloaded (", remedy)
    assert outcome.out.splitlines() == [
        f"Set5: {DATASETS['set5'].terms}",
        f"downloading {BENCHMARK.url}, 250.1 MB",
    ]
    assert list((root / ".archives").iterdir()) == []


def test_fetch_of_an_archive_put_there_by_hand_that_is_damaged(
    fastsr: Fastsr, tmp_path: Path
) -> None:
    file = tmp_path / "data/.archives/benchmark.tar"
    file.parent.mkdir(parents=True)
    file.write_text("half a download")
    outcome = fastsr("data", "fetch", "set14", "--root", tmp_path / "data")
    assert_one_line(
        outcome, f"{file} has 15 bytes instead of 250,112,000; delete {file}", BENCHMARK.url
    )


def test_fetch_of_what_is_there_needs_no_network(fastsr: Fastsr, tmp_path: Path) -> None:
    folder = fill(DATASETS["set5"], tmp_path / "data[v2]")
    outcome = fastsr("data", "fetch", "set5", "--root", "data[v2]")
    said = f"Set5 is in data[v2] already\n{folder.relative_to(tmp_path)}\n"
    assert outcome == Outcome(0, said, "")


def test_fetch_packs_what_is_trained_on(fastsr: Fastsr, tmp_path: Path) -> None:
    folder = fill(DATASETS["div2k"], tmp_path / "data", side=96)
    outcome = fastsr(
        "data", "fetch", "div2k", "--root", tmp_path / "data", "--cache", tmp_path / "packed"
    )
    assert (outcome.code, outcome.err) == (0, "")
    packed = f"packed 800 images. Train: fastsr train --data {folder} --amp --compile"
    assert outcome.out.splitlines()[1:] == [
        *map(str, DATASETS["div2k"].folders(tmp_path / "data")),
        "packing 800 images",
        packed,
    ]
    assert len(list((tmp_path / "packed/packs").iterdir())) == 1


def test_packs_are_listed_and_old_ones_deleted(fastsr: Fastsr, tmp_path: Path) -> None:
    assert fastsr("data", "packs").out == f"no packs in {tmp_path}/cache/fastsr/packs\n"
    images = save_images(tmp_path / "images[v2]", 3)
    pack_images(sorted(images.iterdir()), minimum_side=16, cache=tmp_path / "packed")
    (pack,) = (tmp_path / "packed/packs").iterdir()
    outcome = fastsr("data", "packs", "--cache", "packed", "--prune")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0].strip() == "packs in packed/packs"
    row, name = (line.split() for line in outcome.out.splitlines()[-2:])
    assert row == ["0.0", "MB", "3", "today", "today", str(images)]
    assert name == [pack.name]
    os.utime(pack / "index.json", (0, 0))
    outcome = fastsr("data", "packs", "--cache", "packed", "--prune")
    assert outcome.out.splitlines() == [
        f"deleted packed/packs/{pack.name}, 0.0 MB of {images}",
        "no packs in packed/packs",
    ]
    assert not pack.exists()


def test_fetch_into_a_file(fastsr: Fastsr, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    assert_one_line(
        fastsr("data", "fetch", "set5", "--root", "file"),
        "file cannot be written",
        "give another folder",
    )
    assert (tmp_path / "file").read_text() == "precious"
