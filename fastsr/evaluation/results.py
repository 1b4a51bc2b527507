"""The results of an evaluation, by set, image and model."""

from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from fastsr.evaluation.protocol import Protocol
from fastsr.system.environment import environment

FORMAT = 1


@dataclass
class Scoreboard:
    """What was measured, by set, image and model."""

    protocol: Protocol
    models: dict[str, dict[str, Any]]
    missing: dict[str, str]
    """Metrics that were wanted and could not be measured, and why."""
    step: int | None = None
    """Training step of the models, where they share a run."""
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    """Rows with set, image, model and a value or None for each metric."""
    pictures: list[dict[str, Any]] = field(default_factory=list)

    def means(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Mean of each metric over images, by set and model; None where an image has no value."""
        return {
            name: {
                model: {metric: self.mean(name, model, metric) for metric in self.protocol.metrics}
                for model in self.models
            }
            for name in self.sets
        }

    def mean(self, set_name: str, model: str, metric: str) -> float | None:
        values = [row[metric] for row in self.images if row["set"] == set_name and row["model"] == model]
        return None if None in values else mean(values)

    def facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "scale": self.protocol.scale,
            "step": self.step,
            "protocol": self.protocol.facts(),
            "environment": environment(),
            "models": self.models,
            "metrics": list(self.protocol.metrics),
            "missing": self.missing,
            "sets": self.sets,
            "means": self.means(),
            "images": self.images,
            "pictures": self.pictures,
        }
