"""The files of an evaluation: JSON, CSV and pictures, complete or not at all."""

import csv
import json
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from fastsr.errors import UserError
from fastsr.evaluation.results import Scoreboard
from fastsr.files import sync

JSON_NAME = "evaluation.json"


def save_pictures(methods: Mapping[str, Tensor], folder: Path, place: Path) -> dict[str, str]:
    """Writes images as PNG below a folder. Returns their paths in it."""
    (folder / place).mkdir(parents=True)
    saved: dict[str, str] = {}
    for index, (name, image) in enumerate(methods.items()):
        saved[name] = (place / f"{index}-{slug(name)}.png").as_posix()
        Image.fromarray(image.numpy()).save(folder / saved[name])
    return saved


def slug(name: str) -> str:
    """A name as a part of a path."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"


@contextmanager
def complete_folder(out: Path) -> Generator[Path, None, None]:
    """Yields a folder that becomes `out` when everything is in it; an evaluation that was there is replaced.

    Raises UserError where `out` holds anything else, or cannot be written.
    """
    if out.exists() and not (out / JSON_NAME).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is no evaluation; give another folder")
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".evaluating-"))
        temporary.chmod(0o755)
        yield temporary
        if out.exists():
            old = temporary.with_name(f"{temporary.name}-old")
            out.rename(old)
            temporary.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(out)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def write_files(board: Scoreboard, folder: Path) -> None:
    """evaluation.json with everything, images.csv with a row for each image and model, means.csv. Raises OSError."""
    text = json.dumps(board.facts(), indent=1, allow_nan=False)
    (folder / JSON_NAME).write_text(text + "\n", encoding="utf-8")
    extra = {name: {k: facts.get(k) or "" for k in ("weights", "variant")} for name, facts in board.models.items()}
    metrics = list(board.protocol.metrics)
    rows = [{**row, **extra[row["model"]]} for row in board.images]
    write_csv(folder / "images.csv", ["set", "image", "model", "weights", "variant", *metrics], rows)
    means = [
        {"set": name, "model": model, **extra[model], **values}
        for name, models in board.means().items()
        for model, values in models.items()
    ]
    write_csv(folder / "means.csv", ["set", "model", "weights", "variant", *metrics], means)
    for path in folder.rglob("*"):
        sync(path)


def write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
