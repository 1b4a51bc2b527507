"""A run with an evaluation, whose peers are small untrained generators, without training."""

from pathlib import Path

import pytest

from fastsr.config.settings import CohortConfig, ImagesConfig, ModelConfig, TrainConfig
from fastsr.config.toml import to_toml
from fastsr.evaluation.from_python import evaluate
from fastsr.models.model_file import save_generator
from fastsr.training.notes import training_notes
from tests.fastsr.inference.conftest import small_generator
from tests.images import write_images


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "my-run"
    checkpoint = folder / "checkpoints" / "step-00000003"
    checkpoint.mkdir(parents=True)
    config = TrainConfig(
        recipe="tiny", images=ImagesConfig(data=(tmp_path / "secret" / "photos",)),
        model=ModelConfig(scale=2, blocks=1, filters=4, skip="bicubic"), cohort=CohortConfig(variant="ml"),
    )  # fmt: skip
    (folder / "config.toml").write_text(to_toml(config))
    for k in range(2):
        notes = training_notes(config, k, 3)
        save_generator(small_generator(seed=k), checkpoint / f"peer-{k}-ema.safetensors", notes)
    sets = write_images(tmp_path / "holiday", 2, 32)
    evaluate(folder, sets, folder / "evaluation", metrics=("psnr", "ssim"), device="cpu")
    return folder
