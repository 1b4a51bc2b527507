"""Fixtures of the downloads' tests."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from tests.fastsr.download.server import Server, handler_of


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(state)) as listener:
        listener.daemon_threads = True
        threading.Thread(
            target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        state.url = f"http://127.0.0.1:{listener.server_port}"
        yield state
        state.released.set()
        listener.shutdown()
