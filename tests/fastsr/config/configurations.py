"""Configurations that tests change."""

from dataclasses import replace
from typing import Any

from fastsr.config.settings import (
    TrainConfig,
)

INF, NAN = float("inf"), float("nan")


def changed(path: str, value: Any, base: TrainConfig | None = None) -> TrainConfig:
    """A configuration with one setting changed."""
    base = base or TrainConfig()
    group, name = path.split(".")
    return replace(base, **{group: replace(getattr(base, group), **{name: value})})
