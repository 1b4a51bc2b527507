"""The contents of a checkpoint's state.json: its step, its images, its settings, its loss scalers."""

import json
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, cast

from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.files import read_text
from fastsr.training.run import CHANGEABLE

FORMAT = 1
SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
"""Entries of the state of torch's GradScaler."""
FITTED = ("scale", "channels", "blocks", "filters", "skip", "discriminator_filters", "patch", "peers", "log_every",
    "generator", "growth", "output", "discriminator", "peer", "exchange",
)  # fmt: skip
"""Settings by which tensors in a checkpoint have their shapes, or are used as they were trained."""


@dataclass(frozen=True)
class State:
    step: int
    data: str
    """Fingerprint of the images."""
    scalers: list[dict[str, dict[str, float]]]
    """By peer and network; empty where losses were not scaled."""
    content_weight: float


def read_state(checkpoint: Path, peers: int) -> State:
    """Raises UserError where state.json is damaged, does not belong to this folder, or is of another version."""
    file = checkpoint / "state.json"
    try:
        content = json.loads(read_text(file))
        if content["format"] != FORMAT:
            raise OtherVersionError(
                f"{checkpoint} was written by another version of fastsr; continue it with that version"
            )
        step, weight = content["step"], float(content["content_weight"])
        if type(step) is not int or checkpoint.name != f"step-{step:08d}":
            raise ValueError(f"step {step!r} is not that of {checkpoint.name}")
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(f"content_weight is {weight}")
        scalers = [scaler_states(one) for one in content["scalers"]]
        if len(scalers) != peers:
            raise ValueError(f"scalers of {len(scalers)} peers, not {peers}")
        return State(step, str(content["data"]), scalers, weight)
    except OtherVersionError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error})") from None


class OtherVersionError(UserError):
    """A sound checkpoint, which another version of fastsr can continue."""


def scaler_states(peer: Any) -> dict[str, dict[str, float]]:
    """Raises KeyError, TypeError, ValueError or AttributeError where these are no states of a peer's loss scalers."""
    states: dict[str, dict[str, float]] = {}
    for network in ("generator", "discriminator"):
        state = cast("dict[str, float]", dict(peer[network].items()))
        if state and set(state) != SCALER:
            raise ValueError(f"scalers have {', '.join(state)}")
        if not all(type(value) in (int, float) and isfinite(value) for value in state.values()):
            raise ValueError("scalers hold what is no number")
        states[network] = state
    return states


def lasting_settings(config: TrainConfig) -> dict[str, Any]:
    """Settings that hold for a whole run, by section and name, in the types of JSON."""
    peers = tuple(
        replace(peer, init_generator=None, init_discriminator=None) for peer in config.cohort.peer
    )
    config = replace(config.without_idle(), cohort=replace(config.cohort, peer=peers))
    groups = {name: group for name, group in asdict(config).items() if isinstance(group, dict)}
    lasting = {
        section: {k: v for k, v in group.items() if k not in CHANGEABLE.get(section, set())}
        for section, group in groups.items()
    }
    return json.loads(json.dumps(lasting))


def of_each_peer(name: str, was: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """A setting by its name, before and now; of the tables of peers each setting by itself: `lr of peer 1`."""
    if name != "peer" or len(was) != len(now):
        return [(name, was, now)]
    return [
        (f"{key} of peer {k}", value, peer[key])
        for k, (before, peer) in enumerate(zip(was, now, strict=True))
        for key, value in before.items()
    ]


def edited_settings(checkpoint: Path, config: TrainConfig) -> list[str]:
    """Lines on settings that are not those of the checkpoint: somebody has edited the run's config.toml.

    Raises UserError for one that does not fit the weights.
    """
    try:
        before = json.loads(read_text(checkpoint / "state.json"))["settings"]
        now_set = lasting_settings(config)
        compared = [
            pair
            for section, group in before.items()
            for name, was in group.items()
            for pair in of_each_peer(name, was, now_set[section][name])
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []  # damaged, which is told when it is loaded
    edited = [(name, was, now) for name, was, now in compared if was != now]
    toml = checkpoint.parent.parent / "config.toml"
    for name, was, now in edited:
        if name.partition(" ")[0] in FITTED:
            raise UserError(
                f"{toml}: {name} is {now}, and {checkpoint.name} was trained with {was}, which its weights need; "
                "set it back, or start a new run with another --out"
            )
    return [
        f"{toml} was edited: {name} was {was} until {checkpoint.name}, and is {now} from now on"
        for name, was, now in edited
    ]
