"""The store by which ranks find each other when they start: that of torchrun, or one of the first rank's."""

import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta

from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from fastsr.errors import UserError

GRACE_SECONDS = 2.0
"""Time beyond its timeout for torch to give up by itself, which tells more than that it does not."""


def find_each_other(rank: int, size: int, timeout: timedelta) -> Store:
    """The store by which ranks find each other. Raises UserError naming the address that does not serve as one."""
    host, port = (os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT"))
    if not host or not port:
        raise UserError("MASTER_ADDR or MASTER_PORT is not set; start with torchrun")

    def meet() -> Store:
        return next(rendezvous("env://", rank=rank, world_size=size, timeout=timeout))[0]

    try:
        with without_pages():
            return returned(meet, timeout.total_seconds() + GRACE_SECONDS)
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
    if "EADDRINUSE" in reason:
        raise UserError(
            f"rank {rank} cannot open port {port} of {host}, which is in use; "
            "set MASTER_PORT, or torchrun's --master-port, to another"
        )
    raise UserError(
        f"the other ranks are not found through {host}:{port} ({reason[:160]}); start all of them, "
        "and where another program has that port, set MASTER_PORT to another"
    )


def returned(work: Callable[[], Store], seconds: float) -> Store:
    """The result of `work`, or its error. Raises TimeoutError where that takes too long, and leaves it alone.

    Torch reads from whoever has the port without an end to it, and hears no signal meanwhile.
    """
    results: list[Store] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True, name="meeting")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer in {seconds - GRACE_SECONDS:g} seconds")
    return results[0]


@contextmanager
def without_pages() -> Generator[None, None, None]:
    """Within, stderr goes nowhere: of what fails here our line tells, and torch's code with a page of addresses."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
