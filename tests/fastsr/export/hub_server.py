"""A stand-in for the Hugging Face hub: creating a model, committing files, and giving them out, by its HTTP API."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "1" * 40


@dataclass
class Hub:
    """Files by repository and path."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving_hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HubHandler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class HubHandler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.asked.append(f"POST {self.path}")
        if b"forbidden" in body or self.headers.get("Authorization") != "Bearer hf_stand_in":
            self.answer(b"{}", 401)
        elif self.path == "/api/repos/create":
            about = json.loads(body)
            name = "/".join(part for part in (about.get("organization"), about["name"]) if part)
            self.hub.files.setdefault(name, {})
            self.answer({"url": f"{self.hub.address}/{name}", "name": name, "id": name})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            paths = [one["path"] for one in json.loads(body)["files"]]
            self.answer(
                {
                    "files": [
                        {"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths
                    ]
                }
            )
        elif "/commit/" in self.path:
            self.commit(self.path.split("/commit/")[0].removeprefix("/api/models/"), body)
        else:
            self.answer(b"{}", 404)

    def commit(self, name: str, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                content = base64.b64decode(entry["value"]["content"])
                self.hub.files[name][entry["value"]["path"]] = content
        self.answer(
            {
                "commitUrl": f"{self.hub.address}/{name}/commit/{COMMIT}",
                "commitOid": COMMIT,
                "success": True,
            }
        )

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        name, _, rest = self.path.lstrip("/").partition("/resolve/")
        found = self.hub.files.get(name, {}).get(rest.partition("/")[2])
        if found is not None:
            self.answer(found)
        elif self.path.startswith("/api/models/"):
            name = "/".join(self.path.split("/")[3:5])
            files = self.hub.files.get(name)
            siblings = [{"rfilename": path} for path in files or ()]
            known = files is not None
            self.answer(
                {"id": name, "sha": COMMIT, "siblings": siblings} if known else b"{}",
                200 if known else 401,
            )
        else:
            code = "EntryNotFound" if name in self.hub.files else "RepoNotFound"
            self.answer(b"", 404, code)

    def answer(self, content: object, status: int = 200, error: str = "") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha256(data).hexdigest()}"')
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
