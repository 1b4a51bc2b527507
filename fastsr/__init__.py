"""fastsr trains cohorts of super-resolution GANs whose discriminators teach each other, and enlarges images by them.

From Python (docs/api.md): `load`, `train`, `evaluate`, `TrainConfig` and what they take and give. Each is imported when
it is first used: importing fastsr imports nothing.
"""

from importlib import import_module

# Importing typing would take ten times as long as all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastsr.config.recipes import demo, paper
    from fastsr.config.settings import TrainConfig
    from fastsr.errors import UserError
    from fastsr.evaluation.from_python import evaluate
    from fastsr.inference.upscaler import Upscaler, load
    from fastsr.training.train import train

__version__ = "0.1.0"
__all__ = ["TrainConfig", "Upscaler", "UserError", "demo", "evaluate", "load", "paper", "train"]

HOMES = {
    "TrainConfig": "fastsr.config.settings",
    "Upscaler": "fastsr.inference.upscaler",
    "UserError": "fastsr.errors",
    "demo": "fastsr.config.recipes",
    "evaluate": "fastsr.evaluation.from_python",
    "load": "fastsr.inference.upscaler",
    "paper": "fastsr.config.recipes",
    "train": "fastsr.training.train",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module 'fastsr' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
