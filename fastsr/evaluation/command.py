"""The command that scores a run, as it is advised after training, on the page and on the card. Without torch."""

import shlex
from pathlib import Path

from fastsr.config.settings import TrainConfig


def evaluation_command(config: TrainConfig, folder: Path) -> str:
    """The command that scores a run, on images and low resolution such as it was trained for."""
    run = shlex.quote(str(folder))
    sets = "Set5 Set14" if config.model.channels in (1, 3) else "FOLDER"
    if not config.degrade.is_bicubic:
        return (
            f"fastsr eval {run} --sets {sets} --degrade {shlex.quote(str(folder / 'config.toml'))}"
        )
    # Sets of the field have no low resolution of their size, and bicubic makes none there.
    given = config.model.scale == 1
    return f"fastsr eval {run} --sets {'FOLDER --lr given' if given else sets}"
