"""The run that a training continues."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console

from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.errors import UserError
from fastsr.training.run import Run
from fastsr.training.state import edited_settings


def edited_run(config: TrainConfig, console: Console, locked: bool) -> Run | None:
    """As `existing_run`, with a line on each setting that was edited in its config.toml."""
    run = existing_run(config, locked)
    if run:
        with unlocked_after_error(run):
            for line in edited_settings(run.checkpoint(config.output.resume_from), config):
                say(console, line)
    return run


def existing_run(config: TrainConfig, locked: bool = True) -> Run | None:
    """The run to continue, if any. Raises UserError where --out holds a run that is not to be continued as it was.

    Args:
        locked: keep other trainings from it, which the first of several ranks does.
    """
    run = Run(config.output.out) if config.output.out else None
    if run is None or run.latest() is None:
        if config.output.resume_from:
            raise UserError(f"--from {config.output.resume_from} needs --resume RUN")
        return None
    if not config.output.resume:
        raise UserError(
            f"{run.folder} holds a run already; add --resume to continue it, or give another --out"
        )
    run.check_same(config)
    run.checkpoint(config.output.resume_from)
    if locked:
        run.lock()
    return run


@contextmanager
def unlocked_after_error(run: Run | None) -> Generator[None, None, None]:
    """Within, an error lets other trainings have the run: it stays locked else while somebody holds the traceback."""
    try:
        yield
    except BaseException:
        if run:
            run.close()
        raise
