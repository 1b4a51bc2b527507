"""A model's file by its header: the architecture and all else that is known of it, without torch and in no time."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from fastsr.errors import UserError

LARGEST_HEADER = 100_000_000
"""Bytes; safetensors' own limit."""
FACTS = ("architecture", "scale", "channels")
COUNTED_APART = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of names of what is stored beside parameters."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts in the header of a .safetensors file."""

    file: Path
    bytes: int
    architecture: str
    """Empty for a file that is not fastsr's."""
    scale: int | None
    channels: int | None
    """Of images, where it is known: 3."""
    parameters: int
    dtypes: tuple[str, ...]
    """As safetensors names them: F32, F16."""
    about: Mapping[str, str]
    """All else in the header: settings of the network, a summary of its training, licence."""


def read_facts(file: Path) -> ModelFacts:
    """Raises UserError where there is no such file, or it is no safetensors file."""
    header, size = read_header(file)
    about = {str(key): str(value) for key, value in (header.pop("__metadata__", None) or {}).items()}  # fmt: skip
    try:
        shapes = {name: tuple(int(n) for n in one["shape"]) for name, one in header.items()}
        kinds = {name: str(one["dtype"]) for name, one in header.items()}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file} is damaged or no safetensors file") from None
    weights = [name for name in shapes if not name.endswith(COUNTED_APART)]
    return ModelFacts(
        file=file,
        bytes=size,
        architecture=about.get("architecture", ""),
        scale=whole_number(about.get("scale")),
        channels=whole_number(about.get("channels")),
        parameters=sum(prod(shapes[name]) for name in weights),
        dtypes=tuple(sorted({kinds[name] for name in weights})),
        about={key: value for key, value in about.items() if key not in FACTS},
    )


def read_header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and the size of the whole file in bytes."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > LARGEST_HEADER:
                raise ValueError("the header is too long")
            header = json.loads(opened.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is no object")
        return header, file.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{file} does not exist") from None
    except (ValueError, struct.error):
        raise UserError(f"{file} is damaged or no safetensors file") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None


def whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
