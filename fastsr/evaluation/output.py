"""The files of an evaluation: JSON, CSV and pictures, complete or not at all."""

import csv
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, count
from math import isfinite
from pathlib import Path

from PIL import Image
from torch import Tensor

from fastsr.data.formats import as_rgb8
from fastsr.errors import UserError
from fastsr.evaluation.results import JSON_NAME, Evaluation
from fastsr.files import sync

LONGEST_SLUG = 60
"""Characters of a name in a path: at most four bytes each, and a file's name may have 255."""
PICTURES = "pictures"
TEMPORARY = ".evaluating-"


def save_pictures(methods: Mapping[str, Tensor], folder: Path, place: Path) -> dict[str, str]:
    """Writes images below a folder, as PNG of 8-bit RGB. Returns their paths in it."""
    (folder / place).mkdir(parents=True)
    saved: dict[str, str] = {}
    for index, (name, image) in enumerate(methods.items()):
        saved[name] = (place / f"{index}-{slug(name)}.png").as_posix()
        Image.fromarray(as_rgb8(image.numpy())).save(folder / saved[name])
    return saved


def slug(name: str) -> str:
    """A name as a part of a path."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:LONGEST_SLUG] or "unnamed"


def unused(place: Path, *folders: Path) -> Path:
    """`place`, with -2, -3, ... behind it where it exists in one of the folders."""
    candidates = (place.with_name(f"{place.name}-{k}") for k in count(2))
    return next(
        path
        for path in chain((place,), candidates)
        if not any((folder / path).exists() for folder in folders)
    )


def find_earlier(out: Path, evaluation: Evaluation, overwrite: bool) -> Evaluation | None:
    """The evaluation in `out` that `evaluation` is to be added to, or to replace; None where there is none.

    Raises UserError where `out` holds anything else, or, unless it is to be replaced, one that cannot be added to.
    """
    if not (out / JSON_NAME).is_file():
        if out.exists() and not (out.is_dir() and all(map(is_temporary, out.iterdir()))):
            raise UserError(f"--out {out} exists and is no evaluation; give another folder")
        return None
    try:
        earlier = Evaluation.read(out / JSON_NAME)
    except UserError as error:
        if overwrite:
            return None
        raise UserError(f"{error}, adding --overwrite") from None
    difference = evaluation.difference(earlier)
    if difference and not overwrite:
        raise UserError(
            f"--out {out} holds an evaluation {difference}; give another folder, or add --overwrite"
        )
    return earlier


@contextmanager
def temporary_folder(out: Path) -> Generator[Path, None, None]:
    """A folder on the disk of `out`, that is gone in the end. Raises UserError where `out` cannot be written."""
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        place = out if out.is_dir() else out.parent
        temporary = Path(tempfile.mkdtemp(dir=place, prefix=TEMPORARY))
        temporary.chmod(0o755)
        yield temporary
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written ({error.strerror or error}); give another folder"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """True of what a killed evaluation leaves."""
    return path.name.startswith(TEMPORARY)


def publish(evaluation: Evaluation, folder: Path, out: Path, earlier: Evaluation | None) -> None:
    """Makes the evaluation, whose new pictures lie below `folder`, that of `out`; only files of the earlier one go.

    Pictures have names that nothing in `out` has, and the JSON file is replaced last: until then the earlier evaluation
    is whole. Raises OSError.
    """
    write_files(evaluation, folder)
    if not out.exists():
        folder.rename(out)
        return
    new = folder / PICTURES
    for place in new.iterdir() if new.is_dir() else ():
        (out / PICTURES).mkdir(exist_ok=True)
        place.rename(out / PICTURES / place.name)
    for name in ("images.csv", "means.csv", JSON_NAME):
        (folder / name).replace(out / name)
    sync(out)
    if earlier:
        remove_pictures(out, picture_files(earlier) - picture_files(evaluation))


def picture_files(evaluation: Evaluation) -> set[str]:
    return {file for picture in evaluation.pictures for file in picture.files.values()}


def remove_pictures(out: Path, files: Iterable[str]) -> None:
    """Removes pictures of an evaluation, and folders that are empty then."""
    root = (out / PICTURES).resolve()
    for file in files:
        path = (out / file).resolve()
        if not path.is_relative_to(root):
            continue  # whoever wrote this into the JSON file, it was not us
        with suppress(OSError):  # of folders: until one holds something else
            path.unlink(missing_ok=True)
            for parent in path.parents:
                parent.rmdir()
                if parent == root:
                    break


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
