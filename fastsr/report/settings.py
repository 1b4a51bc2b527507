"""Settings and environments as collapsible tables."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Any, cast

from fastsr.config.settings import TrainConfig


def details(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def setting_tables(config: TrainConfig) -> str:
    """Every setting, section by section; those that differ from the default are marked and say what it is."""
    default = TrainConfig()
    parts = [
        f'<p class="note">Recipe {escape(config.recipe)}. <b class="changed">Marked</b>: differs from the default.</p>'
    ]
    for section in fields(config):
        group, usual = getattr(config, section.name), getattr(default, section.name)
        if is_dataclass(group):
            rows = "".join(
                setting_row(setting.name, getattr(group, setting.name), getattr(usual, setting.name))
                for setting in fields(group)
            )
            parts.append(key_table(section.name, rows))
    return f'<div class="settings">{"".join(parts)}</div>'


def setting_row(name: str, value: object, default: object) -> str:
    shown = escape(words(value))
    if value == default:
        return f'<tr><th scope="row">{escape(name)}</th><td>{shown}</td></tr>'
    note = f"<small>default: {escape(words(default))}</small>"
    return f'<tr><th scope="row"><b class="changed">{escape(name)}</b></th><td>{shown}<br>{note}</td></tr>'


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
        return ", ".join(f"{key}: {words(item)}" for key, item in cast("Mapping[str, object]", value).items())
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, Path) or value != "" else "empty"


def environment_table(environment: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(command_or_words(name, value))}</td></tr>'
        for name, value in environment.items()
    )
    return key_table("", rows)


def command_or_words(name: str, value: object) -> str:
    if name == "command" and isinstance(value, list):
        return " ".join(str(item) for item in cast("list[object]", value))
    return words(value)


def plan_table(plan: Mapping[str, Any]) -> str:
    return environment_table(plan)


def key_table(caption: str, rows: str) -> str:
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="keys">{title}<tbody>{rows}</tbody></table>'
