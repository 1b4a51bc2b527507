"""Saving while training goes on: copies are taken between two steps, and a thread writes them."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fastsr.config.settings import OutputConfig
from fastsr.distributed.together import Meeting
from fastsr.distributed.world import Alone
from fastsr.training.checkpoint import write_checkpoint
from fastsr.training.run import Run
from fastsr.training.snapshot import Snapshot, Twin, assert_finite


class Saver:
    """Writes the checkpoints of a run, one after the other, and does what has to follow them in the same order.

    An error of the thread is raised by whatever is called next. Threads of several ranks write a checkpoint together,
    through a meeting of their own, and raise its errors alike.
    """

    def __init__(self, run: Run, output: OutputConfig, meeting: Meeting | None = None) -> None:
        self.run, self.output, self.meeting = run, output, meeting or Alone()
        self.pool = ThreadPoolExecutor(1, "checkpoints")
        self.pending: deque[Future[Any]] = deque()
        self.twin: Twin | None = None
        self.saved_at = time.monotonic()
        self.begun: int | None = None
        """The step of the last checkpoint that was begun."""
        self.failed = False
        """True after a job that failed, and while there is one. Of the thread."""

    def is_due(self, step: int) -> bool:
        """True after the steps that --save-every counts, or the minutes of --save-minutes."""
        if self.output.save_every is not None:
            return step % self.output.save_every == 0
        return time.monotonic() - self.saved_at >= 60 * self.output.save_minutes

    def begin(self, step: int, take: Callable[[], Snapshot]) -> None:
        """Copies a snapshot, which may change from then on, and has it written. Waits for the one before.

        Args:
            step: nothing is done where its checkpoint was begun already. take: the snapshot of that step.
        Raises:
            UserError: the one before could not be written.
        """
        if step == self.begun:
            return
        self.wait()
        self.failed = False
        snapshot = take()
        twin = self.twin = self.twin or Twin(snapshot)
        copied = twin.fill(snapshot)
        self.begun, self.saved_at = step, time.monotonic()

        def write() -> None:
            twin.wait()
            self.meeting.together(lambda: assert_finite(copied))
            write_checkpoint(self.run, copied, self.output.keep, self.meeting)

        self.follow(write)

    def follow(self, job: Callable[[], object]) -> None:
        """Does something when all that was begun is done; not where any of that failed."""
        self.pending.append(self.pool.submit(self.unless_failed, job))

    def unless_failed(self, job: Callable[[], object]) -> None:
        if not self.failed:
            self.failed = True
            job()
            self.failed = False

    def check(self) -> None:
        """Raises the error of the thread, if it has one. Waits for nothing."""
        while self.pending and self.pending[0].done():
            self.pending.popleft().result()

    @property
    def has_failed(self) -> bool:
        """True if the thread has an error that `check` would raise."""
        return any(one.done() and one.exception() for one in self.pending)

    @property
    def is_idle(self) -> bool:
        """True if nothing that was begun is unfinished."""
        return all(one.done() for one in self.pending)

    def wait(self) -> None:
        """Returns when everything is written. Raises the first error."""
        while self.pending:
            self.pending.popleft().result()

    def close(self) -> None:
        """Ends the thread when it has written what it was writing, as far as other ranks still take part."""
        self.meeting.close()
        self.pool.shutdown(wait=True)
