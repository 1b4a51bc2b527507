"""spandrel learns fastsr's networks: after `install()` it opens what `fastsr export --format spandrel` made.

It opens RRDB, Compact and SPAN files by itself.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fastsr.models import Generator
from fastsr.models.architecture import GeneratorArchitecture, from_header, header_of
from fastsr.models.networks import build_generator
from fastsr.models.tail import always_plain

ID, MARK = "fastsr", "fastsr.description"
"""Our name among spandrel's architectures, and the entry of a file in which its network is described: spandrel sees
tensors only, and they do not tell all."""


def install() -> None:
    """Adds fastsr's networks to spandrel's. May be called again. Raises ImportError where there is no spandrel."""
    from spandrel import MAIN_REGISTRY, ArchSupport

    if ID not in MAIN_REGISTRY:
        # Before the others: one of them may know the names of our weights, and not their shapes.
        others = tuple(one.architecture.id for one in MAIN_REGISTRY)
        MAIN_REGISTRY.add(ArchSupport.from_architecture(make_architecture(), before=others))


def make_architecture() -> Any:
    """The entry for spandrel's registry."""
    from spandrel import Architecture, ImageModelDescriptor

    class FastsrArchitecture(Architecture[Generator]):  # pyright: ignore[reportUntypedBaseClass]
        def __init__(self) -> None:
            super().__init__(id=ID, name="fastsr", detect=lambda state: MARK in state)

        def load(self, state_dict: Mapping[str, Tensor]) -> Any:
            weights = dict(state_dict)
            architecture = described(weights.pop(MARK))
            generator = build_generator(architecture)
            always_plain(generator)
            return ImageModelDescriptor(
                generator, weights, architecture=self,
                purpose="SR" if architecture.scale > 1 else "Restoration", tags=[architecture.label],
                supports_half=True, supports_bfloat16=True, scale=architecture.scale,
                input_channels=architecture.channels, output_channels=architecture.channels,
            )  # fmt: skip

    return FastsrArchitecture()


def marked(architecture: GeneratorArchitecture) -> Tensor:
    """A description as a tensor: the letters of JSON."""
    return torch.tensor(list(json.dumps(header_of(architecture)).encode()), dtype=torch.uint8)


def described(mark: Tensor) -> GeneratorArchitecture:
    """Raises ValueError for a network of another version of fastsr."""
    architecture = from_header(json.loads(bytes(mark.to(torch.uint8).tolist()).decode()))
    if architecture is None:
        raise ValueError("a network of another version of fastsr")
    return architecture
