"""The runs that a page is about: folders of runs are opened, and names that several runs share are told apart."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastsr.report.runs import Reproduction, Run, collect
from fastsr.reproduction.results import JSON_NAME as TABLES

Part = Run | Reproduction


def collect_all(folders: Sequence[Path]) -> list[Part]:
    """Every run and reproduction in the order given, each once, with names of their own.

    Raises UserError for a folder that is neither and holds none, and for damaged files.
    """
    found = {one.resolve(): one for folder in folders for one in opened(folder)}
    return named_apart([collect(folder) for folder in found.values()])


def opened(folder: Path) -> list[Path]:
    """The folder itself, or what it holds where it is a folder of runs."""
    if is_part(folder) or not folder.is_dir():
        return [folder]
    inside = sorted((one for one in folder.iterdir() if is_part(one)), key=natural)
    return inside or [folder]


def by_scale(run: Run) -> tuple[int, list[tuple[str, int]]]:
    return run.config.model.scale, natural(run.folder)


def is_part(folder: Path) -> bool:
    return (folder / "config.toml").is_file() or (folder / TABLES).is_file()


def natural(folder: Path) -> list[tuple[str, int]]:
    """Orders seed2 before seed10."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", folder.name)]


def runs_of(parts: Sequence[Part]) -> list[Run]:
    return [
        run for part in parts for run in (part.runs if isinstance(part, Reproduction) else (part,))
    ]


def named_apart(parts: Sequence[Part]) -> list[Part]:
    """With as many of the folders above in each name as it takes."""
    names = shortest_names([run.folder for run in runs_of(parts)])
    return [
        replace(part, runs=tuple(renamed(run, names) for run in sorted(part.runs, key=by_scale)))
        if isinstance(part, Reproduction)
        else renamed(part, names)
        for part in parts
    ]


def renamed(run: Run, names: dict[Path, str]) -> Run:
    return replace(run, name=names[run.folder.resolve()])


def shortest_names(folders: Sequence[Path]) -> dict[Path, str]:
    """The end of each path that no other path has."""
    paths = list(dict.fromkeys(folder.resolve() for folder in folders))
    found: dict[Path, str] = {}
    for path in paths:
        for depth in range(1, len(path.parts) + 1):
            found[path] = "/".join(path.parts[-depth:])
            if Counter("/".join(one.parts[-depth:]) for one in paths)[found[path]] == 1:
                break
    return found
