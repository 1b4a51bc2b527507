"""Scores of bicubic, which do not change from call to call: kept in small files, one for each image and its rules."""

import hashlib
import json
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.results import null, number

VERSION = 1
"""To be raised by every change of bicubic or of a metric that moves a score: older files are then never read again."""


class ScoreCache:
    """Scores by key and metric. What cannot be read counts as not there, what cannot be written is not kept.

    Processes may share a folder: a file is replaced whole, and the last that writes it wins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> dict[str, float]:
        """Scores by metric; empty where none are known."""
        try:
            content = json.loads(self.file(key).read_text(encoding="utf-8"))
            scores: dict[str, Any] = content["scores"]
            if content["crc"] != checksum(scores):
                return {}
            return {name: number(value) for name, value in scores.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, key: str, scores: Mapping[str, float]) -> None:
        """Adds to the scores that are known."""
        known = {name: null(value) for name, value in {**self.read(key), **scores}.items()}
        text = json.dumps({"scores": known, "crc": checksum(known)}, allow_nan=False)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.folder, prefix=".writing-", delete=False
            ) as file:
                file.write(text)
            Path(file.name).replace(self.file(key))

    def file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def checksum(scores: Mapping[str, float | None]) -> int:
    return zlib.crc32(json.dumps(scores, sort_keys=True).encode())


def bicubic_key(pair: Pair, scale: int, border: str) -> str:
    """A name for everything that bicubic's scores on an image depend on, but the metric."""
    rules = (
        VERSION,
        "bicubic",
        scale,
        border,
        pair.grey,
        tuple(pair.lr.shape),
        tuple(pair.hr.shape),
    )
    digest = hashlib.sha256(repr(rules).encode())
    for image in (pair.lr, pair.hr):
        digest.update(image.contiguous().numpy().data)
    return digest.hexdigest()
