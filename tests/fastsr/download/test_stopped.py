"""A download in a process of its own that is stopped by a signal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fastsr.download.archives import members_of, tar_of
from tests.fastsr.download.server import Server, asked

PROGRAM = """if True:
    import sys
    from dataclasses import replace
    from fastsr.cli.main import main
    from fastsr.download.catalogue import DATASETS, Archive

    url, size, sha256, *words = sys.argv[1:]
    (split,) = DATASETS["set5"].splits
    archive = Archive(url=url, size=int(size), sha256=sha256)
    DATASETS["set5"] = replace(DATASETS["set5"], splits=(replace(split, archive=archive),))
    sys.exit(main(words))
"""
"""fastsr with another address of Set5."""


@pytest.fixture
def command(server: Server) -> list[str]:
    archive = server.archive("benchmark.tar.gz", tar_of(members_of(("Set5", 5))))
    about = (archive.url, str(archive.size), str(archive.sha256))
    return [sys.executable, "-c", PROGRAM, *about, "data", "fetch", "set5", "--root", "sets"]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_what_has_arrived_is_kept_and_continued(
    server: Server, command: list[str], elsewhere: None, number: signal.Signals
) -> None:
    environment = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    server.stall = 1000
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # heard in the background too
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        while not process.stdout.readline().startswith("downloading http://127.0.0.1"):
            assert process.poll() is None
        part = Path("sets/.archives/benchmark.tar.gz.part")
        while not part.exists():
            assert process.poll() is None
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 128 + number
    assert sorted(path.name for path in Path("sets").iterdir()) == [".archives", ".lock"]
    server.stall, arrived = None, part.stat().st_size
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert asked(server) == [None, f"bytes={arrived}-" if arrived else None]
    assert len([*Path("sets/Set5/HR").iterdir()]) == 5
    assert not part.exists()
