"""Downloads over HTTP: cut, stalled, changed, damaged."""

import hashlib
import io
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from archives import BODY, file_size_limit
from rich.console import Console
from rich.progress import Progress

from fastsr.download.catalogue import Archive
from fastsr.download.transfer import download
from fastsr.errors import UserError
from tests.fastsr.download.server import Server, asked

QUICK = (0.01, 0.01)


def quiet() -> Progress:
    return Progress(console=Console(file=io.StringIO()), disable=True)


@dataclass
class Downloader:
    """`download` into one folder, without pauses, that keeps what it is told."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def __call__(
        self, archive: Archive, timeout: float = 5, pauses: tuple[float, ...] = QUICK
    ) -> Path:
        return download(
            archive, self.folder, quiet(), tell=self.told.append, pauses=pauses, timeout=timeout
        )

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


def test_attempts_are_counted_anew_when_something_has_arrived(
    server: Server, get: Downloader
) -> None:
    server.cuts = [10_000] * 8
    assert get(server.archive()).read_bytes() == BODY
    assert len(server.requests) == 9 > len(QUICK) + 1


def test_a_connection_that_is_always_cut_ends_in_an_error_and_is_continued_later(
    server: Server, get: Downloader
) -> None:
    archive = server.archive()
    server.cuts = [1000, 0, 0]
    text = get.fails(archive)
    assert text.startswith(
        f"{archive.url} cannot be downloaded (the connection was cut); run again later"
    )
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
def test_a_file_that_changed_meanwhile_is_begun_anew(
    server: Server, get: Downloader, heedless: bool
) -> None:
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
def test_a_wrong_checksum_is_told_and_the_file_removed(
    server: Server, get: Downloader, kind: str
) -> None:
    archive = replace(server.archive(), sha256=None, md5=None)
    text = get.fails(replace(archive, **{kind: "0" * 32}))
    actual = hashlib.new(kind, BODY).hexdigest()
    assert (
        f"file.bin.part is damaged: its {kind} is {actual} instead of {'0' * 32}; it was removed"
        in text
    )
    assert "file.bin.part" not in get.names and "file.bin" not in get.names
    assert get(server.archive()).read_bytes() == BODY


def test_an_unknown_checksum_is_told(server: Server, get: Downloader) -> None:
    get(replace(server.archive(), sha256=None))
    line = f"file.bin: no checksum is published to compare with; its sha256 is {hashlib.sha256(BODY).hexdigest()}"
    assert get.told[-1] == line


def test_a_wrong_size_is_told_before_anything_is_downloaded(
    server: Server, get: Downloader
) -> None:
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


def test_a_host_that_does_not_exist_is_told(
    get: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    archive = Archive(url="http://nowhere.invalid/file.bin")
    assert "http://nowhere.invalid/file.bin cannot be downloaded (" in get.fails(archive, pauses=())


def test_a_disk_that_fills_up_is_told_and_the_download_continued(
    server: Server, get: Downloader
) -> None:
    archive = server.archive()
    with file_size_limit(100_000):
        text = get.fails(archive)
    part = get.folder / "file.bin.part"
    assert (
        text.startswith(f"{part} cannot be written (File too large): ")
        and "are free; free space" in text
    )
    assert 0 < part.stat().st_size <= 100_000
    before = part.stat().st_size
    assert get(archive).read_bytes() == BODY
    assert asked(server) == [None, f"bytes={before}-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_left_on_device(server: Server, get: Downloader) -> None:
    (get.folder / "file.bin.part").symlink_to("/dev/full")
    assert "cannot be written (No space left on device): 300.0 kB more are needed" in get.fails(
        server.archive()
    )


def test_too_little_space_is_told_before_anything_is_downloaded(
    server: Server, get: Downloader
) -> None:
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
