"""Networks apart from their weights: one frozen dataclass for each kind, and the header of a file as one.

No torch here. `fastsr.models.networks` builds what these describe.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

Skip = Literal["none", "nearest", "bicubic"]
Output = Literal["tanh", "linear"]
CHANNELS = 3
"""Of images, where nothing else is said: RGB."""


@dataclass(frozen=True, kw_only=True)
class SRResNetArchitecture:
    """SRGAN's generator; see `fastsr.models.generator`."""

    label: ClassVar[str] = "fastsr.SRResNet"
    scale: int
    blocks: int = 32
    filters: int = 64
    skip: Skip = "none"
    output: Output = "tanh"
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class MSRResNetArchitecture:
    """SRResNet without BN, as BasicSR has it; see `fastsr.models.msrresnet`."""

    label: ClassVar[str] = "fastsr.MSRResNet"
    scale: int
    blocks: int = 16
    filters: int = 64
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class RRDBArchitecture:
    """ESRGAN's generator; see `fastsr.models.rrdb`."""

    label: ClassVar[str] = "fastsr.RRDBNet"
    scale: int
    blocks: int = 23
    filters: int = 64
    growth: int = 32
    unshuffle: int = 1
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class CompactArchitecture:
    """Real-ESRGAN's SRVGGNetCompact; see `fastsr.models.compact`."""

    label: ClassVar[str] = "fastsr.Compact"
    scale: int
    blocks: int = 16
    filters: int = 64
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class SPANArchitecture:
    """Swift parameter-free attention network; see `fastsr.models.span`. It has six blocks."""

    label: ClassVar[str] = "fastsr.SPAN"
    scale: int
    filters: int = 48
    normalise: bool = True
    channels: int = CHANNELS


GeneratorArchitecture = (
    SRResNetArchitecture | MSRResNetArchitecture | RRDBArchitecture | CompactArchitecture | SPANArchitecture
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VGGDiscriminatorArchitecture:
    """SRGAN's discriminator: one logit for a patch of this side."""

    patch: int
    filters: int = 64
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class UNetDiscriminatorArchitecture:
    """Real-ESRGAN's discriminator: one logit for each pixel."""

    filters: int = 64
    channels: int = CHANNELS


@dataclass(frozen=True, kw_only=True)
class PatchDiscriminatorArchitecture:
    """pix2pix's discriminator: one logit for each overlapping part of the image."""

    filters: int = 64
    layers: int = 3
    channels: int = CHANNELS


DiscriminatorArchitecture = (
    VGGDiscriminatorArchitecture | UNetDiscriminatorArchitecture | PatchDiscriminatorArchitecture
)


def header_of(architecture: GeneratorArchitecture) -> dict[str, str]:
    """The description of a generator as a safetensors header holds it: texts by name."""
    settings = {name: str(value) for name, value in asdict(architecture).items()}
    return {"architecture": architecture.label, "channels": settings.pop("channels"), **settings}


def from_header(header: Mapping[str, str]) -> GeneratorArchitecture | None:
    """The generator that a header describes; None where it describes none that is known here.

    Raises ValueError or KeyError for a known kind whose settings are missing or are those of another version.
    """
    for kind in get_args(GeneratorArchitecture):
        if header.get("architecture") == kind.label:
            return kind(
                **{
                    field.name: converted(field.name, field.type, header[field.name])
                    for field in fields(kind)
                    if field.name in header or field.name in ("scale", "blocks", "filters")
                }
            )
    return None


def converted(name: str, kind: Any, text: str) -> int | bool | str:
    """A setting of a header in the type of its field. Raises ValueError."""
    if kind is int:
        return int(text)
    options = ("True", "False") if kind is bool else get_args(kind)
    if text not in options:
        raise ValueError(f"{name} {text} is not known here")
    return text == "True" if kind is bool else text
