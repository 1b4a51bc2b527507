"""The files of an evaluation: JSON, CSV and pictures, complete or not at all."""

import csv
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path

from PIL import Image
from torch import Tensor

from fastsr.errors import UserError
from fastsr.evaluation.results import JSON_NAME, Evaluation
from fastsr.files import sync

LONGEST_SLUG = 60
"""Characters of a name in a path: at most four bytes each, and a file's name may have 255."""


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
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:LONGEST_SLUG] or "unnamed"


@contextmanager
def complete_folder(out: Path) -> Generator[Path, None, None]:
    """Yields a folder that becomes `out` when everything is in it; an evaluation that was there is replaced.

    Raises UserError where `out` holds anything else, or cannot be written.
    """
    if (
        out.exists()
        and not (out / JSON_NAME).is_file()
        and not (out.is_dir() and not any(out.iterdir()))
    ):
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
        raise UserError(
            f"--out {out} cannot be written ({error.strerror or error}); give another folder"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def write_files(evaluation: Evaluation, folder: Path) -> None:
    """evaluation.json with everything, images.csv with a row for each image and model, means.csv. Raises OSError."""
    evaluation.write(folder)
    models = {
        model.name: {"weights": model.weights, "variant": model.variant}
        for model in evaluation.models
    }
    images = [
        {
            "set": row.test_set,
            "image": row.image,
            "model": row.model,
            **models[row.model],
            **written(row.values),
        }
        for row in evaluation.images
    ]
    columns = ["weights", "variant", *evaluation.metrics]
    write_csv(folder / "images.csv", ["set", "image", "model", *columns], images)
    means = [
        {"set": name, "model": model, **models[model], **written(values)}
        for name, scored in evaluation.means.items()
        for model, values in scored.items()
    ]
    write_csv(folder / "means.csv", ["set", "model", *columns], means)
    for path in folder.rglob("*"):
        sync(path)


def written(values: Mapping[str, float]) -> dict[str, str]:
    """Values as cells, which are empty where there is none."""
    return {name: str(value) if isfinite(value) else "" for name, value in values.items()}


def write_csv(file: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
