"""A server of archives that fails in every way that servers do."""

import hashlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from archives import BODY

from fastsr.download.catalogue import Archive


@dataclass
class Server:
    """An HTTP server: the files it offers, the failures it is told to make, and the requests that it got."""

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
        return Archive(
            url=f"{self.url}/{name}", size=len(body), sha256=hashlib.sha256(body).hexdigest()
        )


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
            start = (
                int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if wanted and state.ranges and same
                else 0
            )
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


def asked(server: Server) -> list[str | None]:
    """The Range of every request."""
    return [wanted for _, wanted, _ in server.requests]
