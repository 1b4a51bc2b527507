"""The checkpoints of a run as folders, and which of them is the best. Without torch: nothing in them is read."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from fastsr.errors import UserError
from fastsr.files import read_json, write_text

STEP = re.compile(r"step-\d+")
"""Names of checkpoints; whatever else lies beside them is not ours."""


def list_checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first. Raises UserError where their folder cannot be read."""
    folder = run / "checkpoints"
    try:
        found = [path for path in folder.iterdir() if STEP.fullmatch(path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); allow reading it") from None
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"


def run_of(model: Path) -> Path | None:
    """The run that a path is, or a checkpoint of which it is; None for other folders and files."""
    places = (model, model.parent.parent)
    return next((one for one in places if (one / "config.toml").is_file()), None)


@dataclass(frozen=True)
class Best:
    """The best of a run by validation: of which peer, after which step, and what it scored."""

    step: int
    peer: int
    psnr: float | None
    """dB; None where images were equal."""
    low_resolution: str = "bicubic"
    """The low resolution that was validated on."""


BEST_NAME, BEST_FORMAT = "best.json", 1


def read_best(run: Path) -> Best:
    """Raises UserError where no best is kept, or the file is damaged."""
    file = run / BEST_NAME
    if not file.is_file():
        raise UserError(
            f"{run} keeps no best checkpoint: it was trained without --val or --keep-best, or is no run; "
            "use --peer 0"
        )
    return read_json(
        file,
        lambda content: Best(
            int(content["step"]),
            int(content["peer"]),
            content["psnr"],
            str(content.get("low_resolution", "bicubic")),
        ),
        BEST_FORMAT,
        "delete it, and take --peer 0",
    )


def write_best(run: Path, best: Best) -> None:
    """Raises OSError."""
    write_text(run / BEST_NAME, json.dumps({"format": BEST_FORMAT, **asdict(best)}) + "\n")
