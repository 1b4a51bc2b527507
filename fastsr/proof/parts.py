"""The parts of a proof: a claim each, whether it holds on this machine, and the way out where it does not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

Outcome = Literal["passed", "failed", "noted", "skipped"]
"""noted: a measurement, which can be neither right nor wrong."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One claim, and what was found."""

    name: str
    outcome: Outcome
    detail: str
    """The finding in a few words: the largest error, the speeds, the reason for skipping."""
    remedy: str = ""
    """The option that does without, where the part failed."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """The numbers of the detail, by name."""


class Unproved(Exception):  # noqa: N818
    """A claim that does not hold; the message says by how much."""


Check = Callable[[], str]
"""Returns what was found, or raises `Unproved`."""


def part(name: str, remedy: str, check: Check) -> Part:
    """Tries a claim. Raises torch.OutOfMemoryError, for which there is advice elsewhere."""
    try:
        return Part(name=name, outcome="passed", detail=check())
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a broken compiler or driver raises whatever it likes
        return failed(name, remedy, error)


def failed(name: str, remedy: str, error: Exception) -> Part:
    """A part that could not be shown, for what an error says."""
    text = str(error).strip() or type(error).__name__
    return Part(name=name, outcome="failed", detail=text.splitlines()[0], remedy=remedy)


def skipped(name: str, reason: str) -> Part:
    return Part(name=name, outcome="skipped", detail=reason)


def verdict(parts: list[Part]) -> str:
    """One line: what to switch off where something failed."""
    failed = [one for one in parts if one.outcome == "failed"]
    if not failed:
        return "everything that was tried holds"
    remedies = dict.fromkeys(one.remedy for one in failed)
    return f"{failed[0].name}: {failed[0].detail}; train with {' '.join(remedies)}"
