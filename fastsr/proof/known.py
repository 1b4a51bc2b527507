"""Verdicts and settings found on a combination of GPU, driver and versions, kept in the cache."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fastsr.errors import UserError
from fastsr.files import default_cache, read_json, write_text
from fastsr.proof.parts import Part
from fastsr.system.environment import driver_version, package_version

FORMAT = 1


def combination(device: torch.device) -> dict[str, str]:
    """GPU, driver and versions: with another of them, what was shown before shows nothing."""
    return {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "driver": driver_version(),
        "torch": torch.__version__,
        "triton": package_version("triton") or "none",
        "fastsr": package_version("fastsr") or "none",
    }


@dataclass(frozen=True)
class Kept:
    """One file of the cache, that belongs to a combination. A file that cannot be read counts as none."""

    file: Path

    @staticmethod
    def of(cache: Path | None, what: str, key: Mapping[str, Any]) -> "Kept":
        """The file for `what`, such as "proofs", of whatever the key names."""
        text = json.dumps(key, sort_keys=True, default=str)
        name = f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        return Kept((cache or default_cache()) / what / name)

    def read(self) -> dict[str, Any]:
        try:
            return read_json(self.file, lambda content: dict(content["kept"]), FORMAT, "delete it")
        except UserError:
            return {}

    def write(self, kept: Mapping[str, Any], key: Mapping[str, Any]) -> None:
        """Keeps it; where the cache cannot be written, everything is shown again next time."""
        content = {"format": FORMAT, "key": dict(key), "kept": dict(kept)}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.file, json.dumps(content, indent=2, default=str) + "\n")
        except OSError:
            return


@dataclass(frozen=True)
class Proofs:
    """The parts that were shown on a combination."""

    key: Mapping[str, Any]
    kept: Kept

    @staticmethod
    def on(device: torch.device, cache: Path | None) -> "Proofs":
        key = combination(device)
        return Proofs(key, Kept.of(cache, "proofs", key))

    def passed(self) -> dict[str, str]:
        """Names of parts that passed, and what was found."""
        return {str(name): str(detail) for name, detail in self.kept.read().items()}

    def add(self, parts: list[Part]) -> None:
        """Keeps those that passed. Failures are tried anew each time."""
        fresh = {one.name: one.detail for one in parts if one.outcome == "passed"}
        if fresh:
            self.kept.write({**self.passed(), **fresh}, self.key)

    def require(self, checks: Mapping[str, Callable[[], Part]]) -> list[Part]:
        """Tries what was not shown before, by name, and keeps it.

        Raises UserError at the first part that fails, naming the option that does without.
        """
        known, tried = self.passed(), list[Part]()
        for name, check in checks.items():
            if name in known:
                continue
            tried.append(check())
            if tried[-1].outcome == "failed":
                raise UserError(
                    f"{name} cannot be trusted on this machine: {tried[-1].detail}. Train with {tried[-1].remedy}; "
                    "fastsr doctor --prove shows more, and --no-prove trains all the same"
                )
        self.add(tried)
        return tried


def as_json(key: Mapping[str, Any], parts: list[Part], settings: Mapping[str, Any]) -> str:
    """The contents of proof.json."""
    content = {
        "format": FORMAT,
        "combination": dict(key),
        "settings": dict(settings),
        "parts": [asdict(one) for one in parts],
    }
    return json.dumps(content, indent=2) + "\n"
