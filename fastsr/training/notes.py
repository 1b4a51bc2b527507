"""Notes on a model's training, in the header of its file."""

import json
from typing import Any

from fastsr import __version__
from fastsr.config.mixing import variants
from fastsr.config.settings import TrainConfig


def training_notes(config: TrainConfig, peer: int, step: int) -> dict[str, str]:
    """Notes on a model's training, for its file."""
    about: dict[str, Any] = {
        "fastsr": __version__, "recipe": config.recipe, "step": step, "steps": config.total_steps,
        "peer": peer, "peers": config.cohort.peers, "variant": variants(config.cohort)[peer],
        "seed": config.machine.seed, "content": config.loss.content,
        "images": [path.name for path in config.images.data],
    }  # fmt: skip
    return {"training": json.dumps(about)}
