"""Locks between processes: held by one, freed by its end however it comes, and errors of one line."""

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from fastsr.errors import UserError
from fastsr.files import lock

HOLDER = """
import sys, time
from pathlib import Path
from fastsr.files import lock
held = lock(Path(sys.argv[1]), "")
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    for _ in range(2):
        held = lock(file, "busy; wait")
        with pytest.raises(UserError, match=r"^busy; wait$"):
            lock(file, "busy; wait")
        held.release()


def test_any_thread_may_release(tmp_path: Path) -> None:
    held = lock(tmp_path / ".lock", "busy")
    thread = Thread(target=held.release)
    thread.start()
    thread.join()
    lock(tmp_path / ".lock", "busy").release()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"^busy$"):
            lock(file, "busy")
        holder.kill()
    assert file.exists(), "what it leaves is a file that nobody holds"
    lock(file, "busy").release()


def test_a_lock_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file/.lock"):
        with pytest.raises(UserError) as caught:
            lock(tmp_path / name, "busy")
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name} cannot be written (") and message.endswith(
            "give another folder"
        )
        assert "\n" not in message and "None" not in message
