"""The results of an evaluation, as evaluation.json holds them: written and read by the same dataclasses, without torch.

A number that could not be measured is NaN here and null in the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, nan
from pathlib import Path
from statistics import fmean
from typing import Any

from fastsr.evaluation.metrics import PROTOCOLS
from fastsr.files import read_json

FORMAT = 1
JSON_NAME = "evaluation.json"
ORIGINAL = "HR"
"""The name of the original among the pictures of an image."""


@dataclass(frozen=True)
class ScoredModel:
    """One method that was scored: a generator, or bicubic, of which nothing but the name is known."""

    name: str
    file: str = ""
    weights: str = ""
    """ema, raw, or file: a file's own; empty for bicubic."""
    variant: str = ""
    """Independent, ML or ML*, where a run tells."""
    sha256: str = ""
    """Of the file, by which models are known again."""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class ScoredSet:
    name: str
    images: int
    folder: str
    notes: tuple[str, ...] = ()
    perceptual: bool = True
    """Perceptual metrics were measured on it, where they were wanted at all."""
    perceptual_images: int = 0
    """They were measured on so many of its images, evenly spaced; 0: on all."""

    def measured(self, metric: str) -> list[int]:
        """The places of the images that a metric was measured on, or would have been."""
        count = self.perceptual_images if metric in PROTOCOLS else 0
        return evenly_spaced(self.images, count)


@dataclass(frozen=True)
class ImageScores:
    """One model's values of every metric on one image."""

    test_set: str
    image: str
    model: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Picture:
    """One image of a test set as every method has it: whole files of equal size."""

    test_set: str
    image: str
    files: Mapping[str, str]
    """Paths below the evaluation's folder, by method; HR is the original."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores and pictures of models on test sets, with the rules of measuring: the content of evaluation.json."""

    scale: int
    protocol: Mapping[str, str]
    """The rules in words, by metric and by other names."""
    environment: Mapping[str, Any]
    models: tuple[ScoredModel, ...]
    metrics: tuple[str, ...]
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Metrics that were wanted and could not be measured, and why."""
    step: int | None = None
    """Training step of the models, where they share a run."""
    sets: tuple[ScoredSet, ...] = ()
    means: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict[str, Any])
    """Over images, by set, model and metric; NaN where an image has no value."""
    images: tuple[ImageScores, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def with_set(
        self, scored: ScoredSet, images: Sequence[ImageScores], pictures: Sequence[Picture] = ()
    ) -> "Evaluation":
        """This evaluation and the scores of one more set, of which the means are taken."""
        whole = replace(
            self,
            sets=(*self.sets, scored),
            images=(*self.images, *images),
            pictures=(*self.pictures, *pictures),
        )
        means = {
            model.name: {
                metric: mean(whole.values(scored, model.name, metric)) for metric in self.metrics
            }
            for model in self.models
        }
        return replace(whole, means={**self.means, scored.name: means})

    def values(self, scored: ScoredSet, model: str, metric: str) -> list[float]:
        """A metric of a model on each image of a set that it was measured on."""
        rows = [r for r in self.images if r.test_set == scored.name and r.model == model]
        return [rows[k].values[metric] for k in scored.measured(metric) if k < len(rows)]

    def difference(self, other: "Evaluation") -> str:
        """A phrase on why the scores of two evaluations do not belong into one; empty where they do."""
        ours = {model.name: (model.weights, model.sha256) for model in self.models}
        theirs = {model.name: (model.weights, model.sha256) for model in other.models}
        if self.scale != other.scale:
            return f"at scale {other.scale}, not {self.scale}"
        if ours != theirs:
            names = [name for name in theirs if ours.get(name) != theirs[name]] or [*theirs]
            return f"of other models or weights ({', '.join(names)})"
        if self.metrics != other.metrics:
            return f"by other metrics ({' '.join(other.metrics)}, not {' '.join(self.metrics)})"
        unlike = [
            name for name in other.protocol if self.protocol.get(name) != other.protocol[name]
        ]
        return f"by another protocol ({unlike[0]}: {other.protocol[unlike[0]]})" if unlike else ""

    def added_to(self, earlier: "Evaluation") -> "Evaluation":
        """This evaluation, behind those sets of an earlier one that it has not."""
        ours = {scored.name for scored in self.sets}
        return replace(
            self,
            sets=(*(one for one in earlier.sets if one.name not in ours), *self.sets),
            means={name: m for name, m in earlier.means.items() if name not in ours}
            | {**self.means},
            images=(*(row for row in earlier.images if row.test_set not in ours), *self.images),
            pictures=(
                *(one for one in earlier.pictures if one.test_set not in ours),
                *self.pictures,
            ),
        )

    def mean(self, test_set: str, model: str, metric: str) -> float:
        """NaN where nothing was measured."""
        return self.means.get(test_set, {}).get(model, {}).get(metric, nan)

    def score(self, test_set: str, image: str, model: str, metric: str) -> float:
        """NaN where nothing was measured."""
        place = (test_set, image, model)
        found = (row.values for row in self.images if (row.test_set, row.image, row.model) == place)
        return next(found, {}).get(metric, nan)

    def write(self, folder: Path) -> None:
        """Raises OSError."""
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        (folder / JSON_NAME).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(file: Path) -> "Evaluation":
        """Raises OtherFormatError for a file of another version, and UserError for a damaged one."""
        return read_json(
            file, Evaluation.from_json, FORMAT, "delete its folder, or run fastsr eval again"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "scale": self.scale,
            "step": self.step,
            "protocol": dict(self.protocol),
            "environment": dict(self.environment),
            "models": {model.name: model_to_json(model) for model in self.models},
            "metrics": list(self.metrics),
            "missing": dict(self.missing),
            "sets": {one.name: set_to_json(one) for one in self.sets},
            "means": {
                name: {model: nulled(values) for model, values in models.items()}
                for name, models in self.means.items()
            },
            "images": [
                {"set": row.test_set, "image": row.image, "model": row.model, **nulled(row.values)}
                for row in self.images
            ],
            "pictures": [
                {"set": one.test_set, "image": one.image, "files": dict(one.files)}
                for one in self.pictures
            ],
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Evaluation":
        """Raises KeyError, TypeError, ValueError or AttributeError where the content is not as it should be."""
        metrics = tuple(str(metric) for metric in content["metrics"])
        return Evaluation(
            scale=int(content["scale"]),
            step=None if content.get("step") is None else int(content["step"]),
            protocol=strings(content.get("protocol")),
            environment=dict((content.get("environment") or {}).items()),
            models=tuple(
                model_from_json(str(name), about) for name, about in content["models"].items()
            ),
            metrics=metrics,
            missing=strings(content.get("missing")),
            sets=tuple(set_from_json(str(name), about) for name, about in content["sets"].items()),
            means={
                str(name): {
                    str(model): {str(metric): number(value) for metric, value in values.items()}
                    for model, values in models.items()
                }
                for name, models in content["means"].items()
            },
            images=tuple(scores_from_json(row, metrics) for row in content.get("images") or ()),
            pictures=tuple(picture_from_json(about) for about in content.get("pictures") or ()),
        )


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """The places of `wanted` of `count` things; all where none or more are wanted."""
    return [k * count // wanted for k in range(wanted)] if 0 < wanted < count else [*range(count)]


def number(value: float | None) -> float:
    """A number of a JSON file: NaN for null, and for what is not finite."""
    return nan if value is None or not isfinite(value) else float(value)


def null(value: float) -> float | None:
    """A number for a JSON file, which has no NaN."""
    return value if isfinite(value) else None


def nulled(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: null(value) for name, value in values.items()}


def mean(values: Sequence[float]) -> float:
    """NaN where a value is missing, or all are."""
    return fmean(values) if values else nan


def strings(content: Mapping[Any, Any] | None) -> dict[str, str]:
    return {str(name): str(text) for name, text in (content or {}).items()}


def model_to_json(model: ScoredModel) -> dict[str, str]:
    """Without what is not known."""
    about = {
        "file": model.file,
        "weights": model.weights,
        "variant": model.variant,
        "sha256": model.sha256,
    }
    return {name: text for name, text in about.items() if text}


def model_from_json(name: str, about: dict[str, Any]) -> ScoredModel:
    keys = ("file", "weights", "variant", "sha256")
    return ScoredModel(name, *(str(about.get(key) or "") for key in keys))


def set_to_json(scored: ScoredSet) -> dict[str, Any]:
    """Perceptual metrics are mentioned where they were left out."""
    about = {"images": scored.images, "folder": scored.folder, "notes": list(scored.notes)}
    if scored.perceptual_images:
        about["perceptual_images"] = scored.perceptual_images
    return about if scored.perceptual else {**about, "perceptual": False}


def set_from_json(name: str, about: dict[str, Any]) -> ScoredSet:
    notes, perceptual = (
        tuple(str(note) for note in about.get("notes") or ()),
        bool(about.get("perceptual", True)),
    )
    folder, chosen = str(about.get("folder") or ""), int(about.get("perceptual_images", 0))
    return ScoredSet(name, int(about["images"]), folder, notes, perceptual, chosen)


def scores_from_json(row: dict[str, Any], metrics: Sequence[str]) -> ImageScores:
    values = {metric: number(row.get(metric)) for metric in metrics}
    return ImageScores(str(row["set"]), str(row["image"]), str(row["model"]), values)


def picture_from_json(about: dict[str, Any]) -> Picture:
    files = strings(about["files"])
    if ORIGINAL not in files:
        raise ValueError(f"the pictures of {about['set']} {about['image']} lack {ORIGINAL}")
    return Picture(str(about["set"]), str(about["image"]), files)
