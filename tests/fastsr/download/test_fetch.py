"""Data sets, fetched and unpacked: together, again, killed, and listed."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from archives import members_of, png, tar_of
from rich.console import Console

from fastsr.download.catalogue import BENCHMARK, DATASETS, Archive, Dataset, Split, print_listing
from fastsr.download.fetch import fetch
from fastsr.errors import UserError
from tests.fastsr.download.server import Server, asked


def two_sets(archive: Archive, *, images: int = 3) -> dict[str, Dataset]:
    def dataset(name: str, members: str, count: int) -> Dataset:
        split = Split(archive=archive, members=members, folder=name, originals="HR", images=count)
        return Dataset(
            name=name.lower(), title=name, use="test", splits=(split,), terms="for tests"
        )

    return {
        d.name: d
        for d in (dataset("One", "benchmark/One", images), dataset("Two", "benchmark/B2", 2))
    }


@pytest.fixture
def catalogue(server: Server) -> dict[str, Dataset]:
    return two_sets(server.archive("benchmark.tar.gz", tar_of(members_of(("One", 3), ("B2", 2)))))


def test_two_sets_share_one_download(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    root, told = tmp_path / "data", list[str]()
    folders = fetch(
        ["ONE", "two", "one"],
        root,
        told.append,
        console=Console(file=io.StringIO()),
        catalogue=catalogue,
    )
    assert folders == [root / "One/HR", root / "Two/HR"]
    assert sorted(
        p.relative_to(root).as_posix() for p in root.rglob("*.png") if "One" in p.parts
    ) == [
        *(f"One/HR/img{k}.png" for k in range(3)),
        *(f"One/LR_bicubic/X4/img{k}x4.png" for k in range(3)),
    ]
    assert (root / "Two/HR/img1.png").read_bytes() == png(1)
    assert len(server.requests) == 1 and list((root / ".archives").iterdir()) == []
    assert (
        told[:2] == ["One: for tests", "Two: for tests"]
        and told[2].startswith("downloading ")
        and len(told) == 3
    )


def test_what_is_there_is_not_fetched_again(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    """And an archive is kept while another data set may want it."""
    told: list[str] = []
    fetch(["one"], tmp_path, told.append, catalogue=catalogue)
    assert "is kept for two" in told[-1]
    fetch(["two"], tmp_path, told.append, catalogue=catalogue)
    assert not list((tmp_path / ".archives").iterdir())
    assert fetch(["two", "one"], tmp_path, told.append, catalogue=catalogue) == [
        tmp_path / "Two/HR",
        tmp_path / "One/HR",
    ]
    assert told[-2:] == [f"Two is in {tmp_path} already", f"One is in {tmp_path} already"]
    assert len(server.requests) == 1


def test_a_folder_that_is_not_whole_is_left_alone(
    catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    (tmp_path / "One/HR").mkdir(parents=True)
    (tmp_path / "One/HR/mine.png").write_bytes(b"mine")
    with pytest.raises(
        UserError, match=r"One/HR holds 1 images instead of 3; delete .*One and run again"
    ):
        fetch(["one"], tmp_path, print, catalogue=catalogue)
    assert (tmp_path / "One/HR/mine.png").exists()


def test_an_archive_with_too_few_images_is_not_unpacked(server: Server, tmp_path: Path) -> None:
    catalogue = two_sets(
        server.archive("benchmark.tar", tar_of(members_of(("One", 3)), "w")), images=4
    )
    with pytest.raises(UserError, match=r"holds 3 images of benchmark/One instead of 4"):
        fetch(["one"], tmp_path, print, catalogue=catalogue)
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {".archives"}


def test_fetch_asks_for_room_before_it_downloads(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    archive = replace(catalogue["one"].archives[0], size=10**18)
    with pytest.raises(UserError, match=r"is too full: 2\.0 EB more are needed"):
        fetch(["one"], tmp_path, print, catalogue=two_sets(archive))
    assert server.requests == []


def test_names_that_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="no data set is called set6; there are div2k set5 set14 bsd100 urban100"
    ):
        fetch(["set5", "set6"], tmp_path, print)


def test_a_folder_that_cannot_be_written_is_told(
    catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file cannot be written \(.*\); give another folder"):
        fetch(["one"], tmp_path / "file", print, catalogue=catalogue)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{here!r}]
import test_fetch as t
from fastsr.download import catalogue, fetch, unpack
archive = catalogue.Archive(url={url!r}, size={size}, sha256={sha256!r})
if {unpacking}:
    def kill(descriptor, *_): os.kill(os.getpid(), signal.SIGKILL)
    unpack.sync = kill  # everything is written by then, and nothing has its name
fetch.fetch(["one", "two"], Path({root!r}), print, catalogue=t.two_sets(archive))
"""


def start_fetching(archive: Archive, root: Path, *, unpacking: bool) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    code = KILLED.format(
        here=str(here),
        url=archive.url,
        size=archive.size,
        sha256=archive.sha256,
        unpacking=unpacking,
        root=str(root),
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[2]), str(here)])}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """Undoes that SIGINT is ignored where tests run in the background, which children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_part(process: subprocess.Popen[bytes], root: Path) -> Path:
    """The part that a process downloads, once something is in it."""
    part, deadline = root / ".archives/benchmark.tar.gz.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return part


def test_only_one_process_fetches_into_a_folder(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    server.stall = 9000
    with start_fetching(catalogue["one"].archives[0], tmp_path, unpacking=False) as process:
        wait_for_part(process, tmp_path)
        with pytest.raises(UserError, match="another process fetches into"):
            fetch(["one"], tmp_path, print, catalogue=catalogue)
        process.kill()
    server.stall = None
    fetch(["one"], tmp_path, print, catalogue=catalogue)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_killed_while_downloading(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path, how: signal.Signals
) -> None:
    archive, server.stall = catalogue["one"].archives[0], 9000
    with start_fetching(archive, tmp_path, unpacking=False) as process:
        part = wait_for_part(process, tmp_path)
        process.send_signal(how)
    assert process.returncode == -how
    have, server.stall = part.stat().st_size, None
    fetch(["one", "two"], tmp_path, print, catalogue=catalogue)
    assert asked(server) == [None, f"bytes={have}-"]
    assert (tmp_path / "One/HR/img2.png").read_bytes() == png(2)


def test_killed_while_unpacking(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    with start_fetching(catalogue["one"].archives[0], tmp_path, unpacking=True) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert (tmp_path / ".unpacking-One/HR/img2.png").exists() and not (tmp_path / "One").exists()
    fetch(["one", "two"], tmp_path, print, catalogue=catalogue)
    assert (tmp_path / "One/HR/img2.png").read_bytes() == png(2)
    assert not list(tmp_path.glob(".unpacking-*")) and len(server.requests) == 1


def test_a_progress_bar_is_shown_on_a_terminal(
    server: Server, catalogue: dict[str, Dataset], tmp_path: Path
) -> None:
    shown, told = io.StringIO(), list[str]()
    console = Console(file=shown, force_terminal=True, width=120)
    fetch(["one"], tmp_path, told.append, console=console, catalogue=catalogue)
    assert "benchmark.tar.gz" in shown.getvalue()
    assert not any(line.startswith("downloading") for line in told)


def test_listing(catalogue: dict[str, Dataset], tmp_path: Path) -> None:
    fetch(["one"], tmp_path, lambda text: None, catalogue=catalogue)
    (tmp_path / "Two/HR").mkdir(parents=True)
    (tmp_path / "Two/HR/a.png").touch()
    table = io.StringIO()
    print_listing(tmp_path, Console(file=table, width=400), catalogue)
    below, head, one, two, note = (line.split() for line in table.getvalue().splitlines())
    assert below == ["below", f"{tmp_path}:"]
    assert head == ["name", "for", "images", "download"]
    assert one[:3] == ["one", "test", "3"] and one[-2:] == ["*", "One/HR"]
    assert two[-6:] == ["Two/HR", "holds", "1", "of", "2", "images"]
    assert " ".join(note) == "* one download that they share"


def test_the_catalogue(tmp_path: Path) -> None:
    table = io.StringIO()
    print_listing(tmp_path, Console(file=table, width=200))
    assert re.search(
        r"div2k +train +900 +4\.0 GB +not here; fastsr data fetch div2k", table.getvalue()
    )
    assert re.search(r"urban100 +test +100 +250\.1 MB \* +not here", table.getvalue())
    assert {name: dataset.images for name, dataset in DATASETS.items()} == {
        "div2k": 900, "set5": 5, "set14": 14, "bsd100": 100, "urban100": 100,
    }  # fmt: skip
    assert DATASETS["bsd100"].folders(tmp_path) == [tmp_path / "BSD100/HR"]
    assert DATASETS["bsd100"].splits[0].members == "benchmark/B100"
    assert [p.name for p in DATASETS["div2k"].folders(tmp_path)] == [
        "DIV2K_train_HR",
        "DIV2K_valid_HR",
    ]
    for archive in {archive for dataset in DATASETS.values() for archive in dataset.archives}:
        assert (
            archive.url.startswith("https://") and archive.size and len(archive.sha256 or "") == 64
        )
    assert len(BENCHMARK.md5 or "") == 32
