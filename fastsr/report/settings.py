"""Settings and environments as collapsible tables."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup

from fastsr.config.settings import TrainConfig
from fastsr.evaluation.metrics import MEASURES
from fastsr.report.html import render
from fastsr.report.runs import Run


@dataclass(frozen=True)
class Setting:
    """One setting in words, beside its default."""

    name: str
    value: str
    default: str
    changed: bool


def settings(run: Run, key: str, level: int) -> Markup:
    """All settings, both environments, and the protocol under `key`; `level` is of its heading."""
    evaluation = run.evaluation
    return render(
        "settings.html",
        recipe=run.config.recipe,
        sections=sections(run.config),
        training=in_words(run.environment),
        evaluation=in_words(evaluation.environment) if evaluation else {},
        protocol={protocol_name(name): text for name, text in evaluation.protocol.items()}
        if evaluation
        else None,
        key=key,
        level=level,
    )


def sections(config: TrainConfig) -> dict[str, list[Setting]]:
    """Every setting, section by section; those that differ from the default are marked and say what it is."""
    default = TrainConfig()
    found: dict[str, list[Setting]] = {}
    for section in fields(config):
        group, usual = getattr(config, section.name), getattr(default, section.name)
        if is_dataclass(group):
            found[section.name] = [
                setting(one.name, getattr(group, one.name), getattr(usual, one.name))
                for one in fields(group)
            ]
    return found


def setting(name: str, value: object, default: object) -> Setting:
    return Setting(name, words(value), words(default), value != default)


def words(value: object) -> str:
    """A value as a person would write it; a matrix one row per line of thought."""
    if value is None or value == () or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        items = tuple(cast("list[object]", value))
        nested = any(isinstance(item, (tuple, list)) for item in items)
        return ("; " if nested else ", ").join(words(item) for item in items)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key}: {words(item)}" for key, item in cast("Mapping[str, object]", value).items()
        )
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, Path) or value != "" else "empty"


def in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """An environment or a plan."""
    return {str(name): command_or_words(name, value) for name, value in facts.items()}


def command_or_words(name: str, value: object) -> str:
    if name == "command" and isinstance(value, list):
        return " ".join(str(item) for item in cast("list[object]", value))
    return words(value)


def protocol_name(key: str) -> str:
    return MEASURES[key].name if key in MEASURES else key.replace("_", " ").capitalize()
