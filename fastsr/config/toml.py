"""Configurations as TOML files: one section per group of settings, every key checked."""

import json
import re
import tomllib
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_origin, get_type_hints

import tomli_w

from fastsr.config.presets import preset
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.files import read_text

NUMBERS = re.compile(r"\[\n([^\[\]\"]+),\n *\]")
"""A list of numbers as tomli_w writes it, each on a line of its own. No text looks so: it has no line breaks."""


def to_toml(config: TrainConfig) -> str:
    """The whole configuration as TOML, one section per group; unset (None) fields are left out.

    Raises UserError for a path that is no text: TOML is UTF-8, and names of files may be any bytes.
    """
    content = {name: plain(value, name) for name, value in asdict(config).items()}
    if config.degrade.is_bicubic:  # whose other settings have no effect
        content["degrade"] = {"degrade": config.degrade.degrade}
    return NUMBERS.sub(lambda numbers: f"[{' '.join(numbers[1].split())}]", tomli_w.dumps(content))


def plain(value: Any, setting: str) -> Any:
    """A setting, or a group of them, in the types of TOML."""
    if isinstance(value, dict):
        group = cast("dict[str, Any]", value)
        return {name: plain(item, name) for name, item in group.items() if item is not None}
    if isinstance(value, (tuple, list)):
        return [plain(item, setting) for item in cast("list[Any]", value)]
    if not isinstance(value, (str, Path)):
        return value
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        option, shown = setting.replace("_", "-"), text.encode(errors="backslashreplace").decode()
        raise UserError(
            f"--{option} {shown} is not UTF-8 and cannot be kept in config.toml; rename it"
        ) from None
    return text


def from_toml(file: Path, base: TrainConfig) -> TrainConfig:
    """`base` with the settings of a TOML file, in the sections of `TrainConfig`.

    Raises UserError for a missing or malformed file, an unknown section or key, and a value of another type.
    """
    try:
        content = tomllib.loads(read_text(file))
    except FileNotFoundError:
        raise UserError(f"--config {file} does not exist") from None
    except OSError as error:
        raise UserError(f"--config {file} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"--config {file} cannot be read: {error}") from None
    groups = {
        f.name: getattr(base, f.name) for f in fields(base) if is_dataclass(getattr(base, f.name))
    }
    recipe = coerced(content.pop("recipe", base.recipe), str, f"{file}: recipe")
    for section, settings in content.items():
        if section in groups and not isinstance(settings, dict):
            raise UserError(
                f"{file}: {section} is a section; write [{section}] on a line of its own"
            )
        if section not in groups:
            home = [
                name for name, group in groups.items() if section in {f.name for f in fields(group)}
            ]
            hint = (
                f"it belongs in [{home[0]}]"
                if home
                else f"sections are {', '.join(f'[{name}]' for name in groups)}"
            )
            raise UserError(f"{file}: unknown section or key '{section}'; {hint}")
        if section == "degrade" and isinstance(name := settings.get("degrade"), str):
            groups[section] = preset(name)
            settings["degrade"] = groups[section].degrade
        groups[section] = updated(
            groups[section], cast("dict[str, Any]", settings), f"{file}: [{section}]"
        )
    return replace(base, recipe=recipe, **groups)


def updated(group: Any, settings: dict[str, Any], where: str) -> Any:
    """A group of settings with those of a TOML section. Raises UserError for unknown names and wrong types."""
    hints = get_type_hints(type(group))
    unknown = [key for key in settings if key not in hints]
    if unknown:
        raise UserError(f"{where} has no setting '{unknown[0]}'; it has {', '.join(hints)}")
    return replace(
        group,
        **{key: coerced(value, hints[key], f"{where} {key}") for key, value in settings.items()},
    )


def coerced_to_one(value: Any, options: tuple[Any, ...], where: str) -> Any:
    """A TOML value as the first of several types that it fits."""
    for option in options:
        with suppress(UserError):
            return coerced(value, option, where)
    words = [name for option in options for name in getattr(option, "__args__", (option.__name__,))]
    raise UserError(f"{where} = {as_given(value)} cannot be used; use {' or '.join(words)}")


def coerced(value: Any, hint: Any, where: str) -> Any:
    """A TOML value as the type of its field."""
    options: tuple[Any, ...] = getattr(hint, "__args__", ())
    origin = getattr(hint, "__origin__", None)
    if origin is Literal:
        if value in options and type(value) is type(options[0]):
            return value
        raise UserError(
            f"{where} = {as_given(value)} cannot be used; use one of {', '.join(map(str, options))}"
        )
    if origin is tuple and isinstance(value, list):
        return tuple(coerced(item, options[0], where) for item in cast("list[Any]", value))
    if type(None) in options:
        some = next(option for option in options if option is not type(None))
        return coerced(value, some, where)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return updated(hint(), cast("dict[str, Any]", value), where)
    if get_origin(hint) in (Union, UnionType):
        return coerced_to_one(value, options, where)
    if hint is Path and isinstance(value, str):
        if not value:  # as a path it would be this folder
            raise UserError(f'{where} = "" is empty; write "." where this folder is meant')
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise UserError(f"{where} = {as_given(value)} is not a {getattr(hint, '__name__', 'list')}")


def as_given(value: Any) -> str:
    """A value that was read, about as the file has it, on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)
