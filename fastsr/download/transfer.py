"""Downloads over HTTP that continue where they were cut, and are checked."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.filesize import decimal
from rich.progress import Progress, TaskID

from fastsr.download.catalogue import Archive
from fastsr.errors import UserError
from fastsr.files import sync

PAUSES = (0.5, 2.0, 5.0)
"""Seconds to wait before each further attempt; begun anew whenever something has arrived."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""
PASSING = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be gone at the next attempt."""
CHUNK = 1 << 20


class AttemptError(Exception):
    """An attempt to download failed; what has arrived is kept. `again` is whether another one may succeed."""

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def bytes_of(file: Path) -> int:
    """Bytes of a download that are there already, complete or not."""
    return next((path.stat().st_size for path in (file, part_of(file)) if path.exists()), 0)


def part_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def check_room(needed: int, folder: Path) -> None:
    """Raises UserError where the disk has less than `needed` bytes free."""
    if needed > (free := shutil.disk_usage(folder).free):
        amounts = f"{decimal(needed)} more are needed and {decimal(free)} are free"
        raise UserError(
            f"{folder} is too full: {amounts}; free space and run again, or give another folder"
        )


def download(
    archive: Archive,
    folder: Path,
    progress: Progress,
    *,
    tell: Callable[[str], None] = print,
    pauses: tuple[float, ...] = PAUSES,
    timeout: float = TIMEOUT,
) -> Path:
    """Returns the archive in `folder`, checked. One that lies there already, put there by hand perhaps, is used.

    Args:
        progress: where it is disabled, one line is told instead. pauses, timeout: like PAUSES and TIMEOUT.
    Raises:
        UserError: the address cannot be reached; the disk is full; what arrived is not what was published.
    """
    file = folder / archive.file
    part, by_hand = part_of(file), file.exists()
    if not by_hand:
        if progress.disable:
            tell(
                f"downloading {archive.url}"
                + (f", {decimal(archive.size)}" if archive.size else "")
            )
        task = progress.add_task(archive.file, total=archive.size)
        receive_patiently(archive, part, (progress, task), pauses, timeout)
    try:
        note = archive.check(file if by_hand else part)
    except UserError as error:
        if not by_hand:
            part.unlink()
        remedy = f"delete {file}" if by_hand else "it was removed"
        raise UserError(
            f"{error}; {remedy}: run again, or put an intact {archive.url} at {file}"
        ) from None
    if note:
        tell(note)
    if not by_hand:
        sync(part)
        part.replace(file)
        sync(folder)
    for leftover in (part, validator_file(part)):
        leftover.unlink(missing_ok=True)
    return file


def receive_patiently(
    archive: Archive,
    part: Path,
    bar: tuple[Progress, TaskID],
    pauses: tuple[float, ...],
    timeout: float,
) -> None:
    """Receives the rest of an archive in as many attempts as it takes. Raises UserError where it is hopeless."""
    furthest = failures = 0
    while True:
        try:
            return receive(archive, part, bar, timeout)
        except AttemptError as error:
            arrived = part.stat().st_size if part.exists() else 0
            failures = 1 if arrived > furthest else failures + 1
            furthest = max(arrived, furthest)
            if not error.again or failures > len(pauses):
                remedy = f"run again later, or download it by hand, put it at {part.with_suffix('')} and run again"
                raise UserError(f"{archive.url} cannot be downloaded ({error}); {remedy}") from None
            time.sleep(pauses[failures - 1])


def receive(archive: Archive, part: Path, bar: tuple[Progress, TaskID], timeout: float) -> None:
    """One attempt: appends what is missing to `part`. Raises AttemptError; UserError where the disk is full."""
    (progress, task), arrived = bar, resumable(archive, part)
    if arrived and arrived == archive.size:
        return
    with connect(archive.url, part, arrived, timeout) as response:
        arrived, total = offer(response, part, arrived)
        if total and archive.size not in (None, total):
            raise AttemptError(
                f"{total:,} bytes are offered instead of {archive.size:,}", again=False
            )
        total = total or archive.size
        check_room((total or 0) - arrived, part.parent)
        try:
            with part.open("ab" if arrived else "wb") as out:
                if not arrived:
                    remember(part, response)
                # The speed is then of what arrives from now on.
                progress.reset(task, completed=arrived, total=total)
                for chunk in chunks(response):
                    arrived += out.write(chunk)
                    progress.advance(task, len(chunk))
            sync(part)  # where some disks only notice that they are full
        except OSError as error:
            need = (
                f"{decimal(total - arrived)} more are needed" if total else "more space is needed"
            )
            free = decimal(shutil.disk_usage(part.parent).free)
            raise UserError(
                f"{part} cannot be written ({error.strerror}): {need}, {free} are free; free space and run again"
            ) from None
    if total and arrived != total:
        raise AttemptError("the connection was cut")


def resumable(archive: Archive, part: Path) -> int:
    """Bytes of an earlier attempt to continue: none where nothing would tell that the file has changed since."""
    arrived = part.stat().st_size if part.exists() else 0
    noticed = remembered(part) or archive.sha256 or archive.md5
    return arrived if noticed and arrived <= (archive.size or arrived) else 0


def connect(url: str, part: Path, arrived: int, timeout: float) -> HTTPResponse:
    """Asks for everything from byte `arrived` on, provided that the file is the one begun. Raises AttemptError."""
    headers = {"User-Agent": "fastsr", "Accept-Encoding": "identity"}
    if arrived:
        headers["Range"] = f"bytes={arrived}-"
        if version := remembered(part):
            headers["If-Range"] = version
    try:
        return urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise AttemptError(
            f"HTTP {error.code} {error.reason}", again=error.code in PASSING
        ) from None
    except (OSError, HTTPException) as error:
        raise AttemptError(reason_of(error)) from None


def offer(response: HTTPResponse, part: Path, arrived: int) -> tuple[int, int | None]:
    """First byte of the answer, and bytes of the whole file. Raises AttemptError if it is another file now."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not match or int(match[1]) != arrived or remembered(part) not in ("", validator(response)):
        part.unlink()
        raise AttemptError("the file has changed on the server")
    return arrived, None if match[2] == "*" else int(match[2])


def chunks(response: HTTPResponse) -> Iterator[bytes]:
    """Yields bytes as they arrive. Raises AttemptError, so that a failing network is not taken for a failing disk."""
    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise AttemptError(reason_of(error)) from None


def reason_of(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


def validator(response: HTTPResponse) -> str:
    """Identifies a version of a file: its strong ETag, or else its date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def remember(part: Path, response: HTTPResponse) -> None:
    validator_file(part).write_text(validator(response))
    sync(validator_file(part))


def remembered(part: Path) -> str:
    """The validator of what has arrived; empty where the server gave none."""
    return validator_file(part).read_text() if validator_file(part).exists() else ""
