"""evaluation/evaluation.json of a run as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from fastsr.evaluation.metrics import MEASURES

ORIGINAL = "HR"
BICUBIC = "bicubic"


@dataclass(frozen=True)
class Model:
    name: str
    weights: str
    """ema or raw; empty for bicubic."""
    variant: str

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class TestSet:
    name: str
    images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """One image of a test set as every method has it: whole files of equal size."""

    test_set: str
    image: str
    files: Mapping[str, Path]
    """By method; HR is the original."""


@dataclass(frozen=True)
class Evaluation:
    scale: int
    step: int | None
    protocol: Mapping[str, str]
    environment: Mapping[str, Any]
    models: tuple[Model, ...]
    """Bicubic first, then averaged (EMA) weights, then the others."""
    metrics: tuple[str, ...]
    missing: Mapping[str, str]
    sets: tuple[TestSet, ...]
    means: Mapping[tuple[str, str, str], float]
    """By test set, model and metric; what was not measured is left out."""
    scores: Mapping[tuple[str, str, str, str], float]
    """The same of each image: by test set, image, model and metric."""
    pictures: tuple[Picture, ...]

    @property
    def shown_models(self) -> tuple[Model, ...]:
        """Those whose pictures are compared: bicubic and averaged weights, or whatever there is."""
        averaged = tuple(model for model in self.models if model.weights == "ema")
        others = averaged or tuple(model for model in self.models if model.name != BICUBIC)
        return tuple(model for model in self.models if model.name == BICUBIC) + others


def build_evaluation(content: dict[str, Any], folder: Path) -> Evaluation:
    """Raises KeyError, TypeError, ValueError or AttributeError where the content is not as it should be."""
    models = [
        Model(str(name), str(about.get("weights", "")), str(about.get("variant", "")))
        for name, about in content["models"].items()
    ]
    rank = {"": 0, "ema": 1}
    return Evaluation(
        scale=int(content["scale"]),
        step=None if content.get("step") is None else int(content["step"]),
        protocol={str(name): str(text) for name, text in (content.get("protocol") or {}).items()},
        environment=dict((content.get("environment") or {}).items()),
        models=tuple(sorted(models, key=lambda model: rank.get(model.weights, 2) if model.name != BICUBIC else -1)),
        metrics=tuple(str(metric) for metric in content["metrics"]),
        missing={str(metric): str(reason) for metric, reason in (content.get("missing") or {}).items()},
        sets=tuple(
            TestSet(str(name), int(about["images"]), tuple(str(note) for note in about.get("notes") or ()))
            for name, about in content["sets"].items()
        ),
        means=means_of(content["means"]),
        scores=scores_of(content.get("images") or [], content["metrics"]),
        pictures=tuple(picture(about, folder) for about in content.get("pictures") or ()),
    )


def means_of(content: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    return {
        (test_set, model, metric): float(value)
        for test_set, models in content.items()
        for model, metrics in models.items()
        for metric, value in metrics.items()
        if value is not None and isfinite(value)
    }


def scores_of(rows: list[dict[str, Any]], metrics: list[str]) -> dict[tuple[str, str, str, str], float]:
    return {
        (row["set"], row["image"], row["model"], metric): float(row[metric])
        for row in rows
        for metric in metrics
        if row.get(metric) is not None and isfinite(row[metric])
    }


def picture(about: dict[str, Any], folder: Path) -> Picture:
    files = {str(method): folder / str(file) for method, file in about["files"].items()}
    for file in files.values():
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"the picture {file} lies outside {folder}")
    if ORIGINAL not in files:
        raise ValueError(f"the pictures of {about['set']} {about['image']} lack {ORIGINAL}")
    return Picture(str(about["set"]), str(about["image"]), files)


def metric_name(metric: str) -> str:
    """Such as `PSNR`."""
    return MEASURES[metric].name if metric in MEASURES else metric.upper()


def metric_title(metric: str) -> str:
    """Such as `PSNR (dB)`."""
    return MEASURES[metric].title if metric in MEASURES else metric.upper()


def metric_text(metric: str, value: float, sign: bool = False) -> str:
    """A value with as many digits as its metric deserves."""
    digits = MEASURES[metric].digits if metric in MEASURES else 3
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def better_direction(metric: str) -> bool | None:
    """Whether higher is better; None for a metric that is not known."""
    return MEASURES[metric].higher_is_better if metric in MEASURES else None
