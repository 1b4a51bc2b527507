"""Downloading, against a real server on this machine that fails on demand."""

import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from archives import BODY, file_size_limit, members_of, png, tar_of
from rich.console import Console
from rich.progress import Progress

from fastsr.download.catalogue import BENCHMARK, DATASETS, Archive, Dataset, Split, listing
from fastsr.download.fetch import fetch
from fastsr.download.transfer import download
from fastsr.errors import UserError

QUICK = (0.01, 0.01)


@dataclass
class Server:
    """What is offered, how it fails, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of the body the next answers are cut."""
    stall: int | None = None
    """After how many bytes an answer stops, the connection left open."""
    status: list[int] = field(default_factory=list)
    """Statuses to answer next instead of a file."""
    claim: int | None = None
    """A Content-Length to claim."""
    heedless: bool = False
    """Honours Range without looking at If-Range."""
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, Range and If-Range of every request."""
    released: threading.Event = field(default_factory=threading.Event)

    def archive(self, name: str = "file.bin", body: bytes = BODY) -> Archive:
        self.files[f"/{name}"] = body
        return Archive(url=f"{self.url}/{name}", size=len(body), sha256=hashlib.sha256(body).hexdigest())


def handler_of(state: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
            state.requests.append((self.path, wanted, condition))
            body = state.files.get(self.path)
            if state.status or body is None:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            same = state.heedless or condition in (None, state.etag)
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and state.ranges and same else 0
            if start and start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if state.etag:
                self.send_header("ETag", state.etag)
            self.send_header("Content-Length", str(state.claim or len(body) - start))
            self.end_headers()
            self.send_body(body[start:])

        def send_body(self, body: bytes) -> None:
            if state.stall is not None:
                self.wfile.write(body[: state.stall])
                state.released.wait(20)
                return
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        state.url = f"http://127.0.0.1:{listener.server_port}"
        yield state
        state.released.set()
        listener.shutdown()


def quiet() -> Progress:
    return Progress(console=Console(file=io.StringIO()), disable=True)


@dataclass
class Downloader:
    """`download` into one folder, without pauses, that keeps what it is told."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def __call__(self, archive: Archive, timeout: float = 5, pauses: tuple[float, ...] = QUICK) -> Path:
        return download(archive, self.folder, quiet(), tell=self.told.append, pauses=pauses, timeout=timeout)

    def fails(self, archive: Archive, timeout: float = 5, pauses: tuple[float, ...] = QUICK) -> str:
        with pytest.raises(UserError) as error:
            self(archive, timeout, pauses)
        assert "\n" not in str(error.value)
        return str(error.value)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def get(tmp_path: Path) -> Downloader:
    folder = tmp_path / "archives"
    folder.mkdir()
    return Downloader(folder)


def asked(server: Server) -> list[str | None]:
    """The Range of every request."""
    return [wanted for _, wanted, _ in server.requests]


def test_a_whole_download(server: Server, get: Downloader) -> None:
    archive = server.archive()
    assert get(archive) == get.folder / "file.bin"
    assert (get.folder / "file.bin").read_bytes() == BODY
    assert get.names == ["file.bin"]
    assert get.told == [f"downloading {archive.url}, 300.0 kB"]
    get(archive)
    assert asked(server) == [None]  # the second time it is there


def test_a_cut_connection_is_continued(server: Server, get: Downloader) -> None:
    server.cuts = [100_000, 50_000]
    assert get(server.archive()).read_bytes() == BODY
    assert asked(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert [condition for *_, condition in server.requests] == [None, '"one"', '"one"']


def test_attempts_are_counted_anew_when_something_has_arrived(server: Server, get: Downloader) -> None:
    server.cuts = [10_000] * 8
    assert get(server.archive()).read_bytes() == BODY
    assert len(server.requests) == 9 > len(QUICK) + 1


def test_a_connection_that_is_always_cut_ends_in_an_error_and_is_continued_later(
    server: Server, get: Downloader
) -> None:
    archive = server.archive()
    server.cuts = [1000, 0, 0]
    text = get.fails(archive)
    assert text.startswith(f"{archive.url} cannot be downloaded (the connection was cut); run again later")
    assert f"put it at {get.folder / 'file.bin'}" in text
    assert get.names == ["file.bin.part", "file.bin.part.version"]
    assert get(archive).read_bytes() == BODY
    assert asked(server)[-1] == "bytes=1000-"


def test_a_stalled_connection_counts_as_cut(server: Server, get: Downloader) -> None:
    server.stall = 0
    assert "cannot be downloaded (timed out)" in get.fails(server.archive(), timeout=0.1)
    server.stall = 200_000
    get(server.archive(), timeout=0.1)
    assert asked(server) == [None, None, None, None, "bytes=200000-"]


def test_a_server_without_ranges_sends_everything_again(server: Server, get: Downloader) -> None:
    server.ranges, server.cuts = False, [200_000]
    assert get(server.archive()).read_bytes() == BODY
    assert asked(server) == [None, "bytes=200000-"]


@pytest.mark.parametrize("heedless", [False, True], ids=["If-Range", "heedless"])
def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, get: Downloader, heedless: bool) -> None:
    server.cuts = [100_000, 0, 0]
    get.fails(server.archive(body=BODY[::-1]))
    server.etag, server.heedless = '"two"', heedless
    assert get(server.archive()).read_bytes() == BODY
    assert server.requests[3][1:] == ("bytes=100000-", '"one"')
    assert asked(server)[4:] == ([None] if heedless else [])


def test_a_weak_etag_does_not_count(server: Server, get: Downloader) -> None:
    """Without anything to tell versions apart, neither a validator nor a checksum, nothing is continued."""
    server.etag, server.cuts = 'W/"one"', [100_000]
    archive = replace(server.archive(), sha256=None)
    assert get(archive).read_bytes() == BODY
    assert asked(server) == [None, None]


def test_a_part_that_is_complete_already_is_not_asked_for(server: Server, get: Downloader) -> None:
    archive = server.archive()
    (get.folder / "file.bin.part").write_bytes(BODY)
    assert get(archive).read_bytes() == BODY
    assert server.requests == []


def test_a_part_beyond_the_end_is_begun_anew(server: Server, get: Downloader) -> None:
    archive = server.archive()
    for size, requests in ((None, ["bytes=300004-", None]), (archive.size, [None])):
        (get.folder / "file.bin.part").write_bytes(BODY + b"more")
        get(replace(archive, size=size)).unlink()
        assert asked(server) == requests
        server.requests.clear()


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_is_told_and_the_file_removed(server: Server, get: Downloader, kind: str) -> None:
    archive = replace(server.archive(), sha256=None, md5=None)
    text = get.fails(replace(archive, **{kind: "0" * 32}))
    actual = hashlib.new(kind, BODY).hexdigest()
    assert f"file.bin.part is damaged: its {kind} is {actual} instead of {'0' * 32}; it was removed" in text
    assert "file.bin.part" not in get.names and "file.bin" not in get.names
    assert get(server.archive()).read_bytes() == BODY


def test_an_unknown_checksum_is_told(server: Server, get: Downloader) -> None:
    get(replace(server.archive(), sha256=None))
    line = f"file.bin: no checksum is published to compare with; its sha256 is {hashlib.sha256(BODY).hexdigest()}"
    assert get.told[-1] == line


def test_a_wrong_size_is_told_before_anything_is_downloaded(server: Server, get: Downloader) -> None:
    archive = replace(server.archive(), size=123_456)
    assert "300,000 bytes are offered instead of 123,456" in get.fails(archive)
    assert len(server.requests) == 1 and get.names == []


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (503, 3)])
def test_http_errors(server: Server, get: Downloader, status: int, attempts: int) -> None:
    archive = server.archive()
    server.status = [status] * attempts
    text = get.fails(archive)
    assert text.startswith(f"{archive.url} cannot be downloaded (HTTP {status} ")
    assert f"put it at {get.folder / 'file.bin'}" in text
    assert len(server.requests) == attempts


def test_a_busy_server_is_tried_again(server: Server, get: Downloader) -> None:
    server.status = [503, 429]
    assert get(server.archive()).read_bytes() == BODY


def test_a_refused_connection_is_told(get: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    text = get.fails(Archive(url=f"http://127.0.0.1:{port}/file.bin"))
    assert "file.bin cannot be downloaded (Connection refused)" in text


def test_a_host_that_does_not_exist_is_told(get: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    archive = Archive(url="http://nowhere.invalid/file.bin")
    assert "http://nowhere.invalid/file.bin cannot be downloaded (" in get.fails(archive, pauses=())


def test_a_disk_that_fills_up_is_told_and_the_download_continued(server: Server, get: Downloader) -> None:
    archive = server.archive()
    with file_size_limit(100_000):
        text = get.fails(archive)
    part = get.folder / "file.bin.part"
    assert text.startswith(f"{part} cannot be written (File too large): ") and "are free; free space" in text
    assert 0 < part.stat().st_size <= 100_000
    before = part.stat().st_size
    assert get(archive).read_bytes() == BODY
    assert asked(server) == [None, f"bytes={before}-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_left_on_device(server: Server, get: Downloader) -> None:
    (get.folder / "file.bin.part").symlink_to("/dev/full")
    assert "cannot be written (No space left on device): 300.0 kB more are needed" in get.fails(server.archive())


def test_too_little_space_is_told_before_anything_is_downloaded(server: Server, get: Downloader) -> None:
    archive = replace(server.archive(), size=None)
    server.claim = 10**18
    text = get.fails(archive)
    assert text.startswith(f"{get.folder} is too full: 1.0 EB more are needed and ")
    assert get.names == []


def test_an_archive_put_there_by_hand_is_checked_and_used(server: Server, get: Downloader) -> None:
    archive = server.archive()
    by_hand = get.folder / "file.bin"
    by_hand.write_bytes(BODY)
    (get.folder / "file.bin.part").write_bytes(BODY[:10])
    assert get(archive) == by_hand
    assert get.names == ["file.bin"]
    by_hand.write_bytes(BODY[:-1])
    assert f"{by_hand} has 299,999 bytes instead of 300,000; delete {by_hand}" in get.fails(archive)
    assert by_hand.exists() and server.requests == []


def two_sets(archive: Archive, *, images: int = 3) -> dict[str, Dataset]:
    def dataset(name: str, members: str, count: int) -> Dataset:
        split = Split(archive=archive, members=members, folder=name, originals="HR", images=count)
        return Dataset(name=name.lower(), title=name, use="test", splits=(split,), terms="for tests")

    return {d.name: d for d in (dataset("One", "benchmark/One", images), dataset("Two", "benchmark/B2", 2))}


@pytest.fixture
def catalogue(server: Server) -> dict[str, Dataset]:
    return two_sets(server.archive("benchmark.tar.gz", tar_of(members_of(("One", 3), ("B2", 2)))))


def test_two_sets_share_one_download(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
    root, told = tmp_path / "data", list[str]()
    folders = fetch(["ONE", "two", "one"], root, told.append, console=Console(file=io.StringIO()), catalogue=catalogue)
    assert folders == [root / "One/HR", root / "Two/HR"]
    assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png") if "One" in p.parts) == [
        *(f"One/HR/img{k}.png" for k in range(3)),
        *(f"One/LR_bicubic/X4/img{k}x4.png" for k in range(3)),
    ]
    assert (root / "Two/HR/img1.png").read_bytes() == png(1)
    assert len(server.requests) == 1 and list((root / ".archives").iterdir()) == []
    assert told[:2] == ["One: for tests", "Two: for tests"] and told[2].startswith("downloading ") and len(told) == 3


def test_what_is_there_is_not_fetched_again(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
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


def test_a_folder_that_is_not_whole_is_left_alone(catalogue: dict[str, Dataset], tmp_path: Path) -> None:
    (tmp_path / "One/HR").mkdir(parents=True)
    (tmp_path / "One/HR/mine.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"One/HR holds 1 images instead of 3; delete .*One and run again"):
        fetch(["one"], tmp_path, print, catalogue=catalogue)
    assert (tmp_path / "One/HR/mine.png").exists()


def test_an_archive_with_too_few_images_is_not_unpacked(server: Server, tmp_path: Path) -> None:
    catalogue = two_sets(server.archive("benchmark.tar", tar_of(members_of(("One", 3)), "w")), images=4)
    with pytest.raises(UserError, match=r"holds 3 images of benchmark/One instead of 4"):
        fetch(["one"], tmp_path, print, catalogue=catalogue)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".archives", ".lock"]


def test_fetch_asks_for_room_before_it_downloads(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
    archive = replace(catalogue["one"].archives[0], size=10**18)
    with pytest.raises(UserError, match=r"is too full: 2\.0 EB more are needed"):
        fetch(["one"], tmp_path, print, catalogue=two_sets(archive))
    assert server.requests == []


def test_names_that_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data set is called set6; there are div2k set5 set14 bsd100 urban100"):
        fetch(["set5", "set6"], tmp_path, print)


def test_a_folder_that_cannot_be_written_is_told(catalogue: dict[str, Dataset], tmp_path: Path) -> None:
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
        here=str(here), url=archive.url, size=archive.size, sha256=archive.sha256, unpacking=unpacking, root=str(root)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[2]), str(here)])}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts
    )


def heed_interrupts() -> None:
    """Where tests run in the background, SIGINT is ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_part(process: subprocess.Popen[bytes], root: Path) -> Path:
    """The part that a process downloads, once something is in it."""
    part, deadline = root / ".archives/benchmark.tar.gz.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return part


def test_only_one_process_fetches_into_a_folder(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
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


def test_killed_while_unpacking(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
    with start_fetching(catalogue["one"].archives[0], tmp_path, unpacking=True) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert (tmp_path / ".unpacking-One/HR/img2.png").exists() and not (tmp_path / "One").exists()
    fetch(["one", "two"], tmp_path, print, catalogue=catalogue)
    assert (tmp_path / "One/HR/img2.png").read_bytes() == png(2)
    assert not list(tmp_path.glob(".unpacking-*")) and len(server.requests) == 1


def test_a_progress_bar_is_shown_on_a_terminal(server: Server, catalogue: dict[str, Dataset], tmp_path: Path) -> None:
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
    Console(file=table, width=400).print(listing(tmp_path, catalogue))
    head, one, two = (line.split() for line in table.getvalue().splitlines())
    assert head == ["name", "for", "images", "download", "below", str(tmp_path)]
    assert one[:3] == ["one", "test", "3"] and one[-2:] == ["(shared)", str(tmp_path / "One/HR")]
    assert two[-6:] == [str(tmp_path / "Two/HR"), "holds", "1", "of", "2", "images"]


def test_the_catalogue(tmp_path: Path) -> None:
    table = io.StringIO()
    Console(file=table, width=200).print(listing(tmp_path))
    assert re.search(r"div2k +train +900 +4\.0 GB +not here; fastsr data fetch div2k", table.getvalue())
    assert re.search(r"urban100 +test +100 +250\.1 MB \(shared\) +not here", table.getvalue())
    assert {name: dataset.images for name, dataset in DATASETS.items()} == {
        "div2k": 900, "set5": 5, "set14": 14, "bsd100": 100, "urban100": 100,
    }  # fmt: skip
    assert DATASETS["bsd100"].folders(tmp_path) == [tmp_path / "BSD100/HR"]
    assert DATASETS["bsd100"].splits[0].members == "benchmark/B100"
    assert [p.name for p in DATASETS["div2k"].folders(tmp_path)] == ["DIV2K_train_HR", "DIV2K_valid_HR"]
    for archive in {archive for dataset in DATASETS.values() for archive in dataset.archives}:
        assert archive.url.startswith("https://") and archive.size and len(archive.sha256 or "") == 64
    assert len(BENCHMARK.md5 or "") == 32
