"""Test images that a run was trained on."""

from dataclasses import replace
from pathlib import Path

import torch

from fastsr.config.settings import ImagesConfig, TrainConfig
from fastsr.config.toml import to_toml
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from fastsr.evaluation.pairs import load_pairs
from fastsr.evaluation.trained import known_images, training_note
from tests.images import write_images


def run_on(images: Path, home: Path) -> Path:
    """A run that was trained on a folder of images, as far as its configuration and pack tell."""
    pack_images(find_images((images,)), minimum_side=1, cache=home / "cache", tell=print)
    config = replace(TrainConfig(), images=ImagesConfig(data=(images,), cache=home / "cache"))
    (home / "run").mkdir()
    (home / "run/config.toml").write_text(to_toml(config))
    return home / "run"


def test_images_that_are_trained_on_are_found_by_their_pixels(tmp_path: Path) -> None:
    run = run_on(write_images(tmp_path / "photos", 3), tmp_path)
    known = known_images(run)
    assert known is not None
    write_images(tmp_path / "test", 4)  # three of them are those of the run
    (note,) = training_note([known], load_pairs((tmp_path / "test",), 2), 2)
    assert note.startswith("warning: 3 of 4 images are among the training images")
    others = [
        replace(pair, hr=torch.flip(pair.hr, (0,))) for pair in load_pairs((tmp_path / "test",), 2)
    ]
    assert training_note([known], others, 2) == []


def test_a_model_without_images_at_hand_has_no_known_ones(tmp_path: Path) -> None:
    run = run_on(write_images(tmp_path / "photos", 1), tmp_path)
    (tmp_path / "photos/0.png").unlink()
    assert known_images(run) is None
    assert known_images(tmp_path / "file.safetensors") is None
    assert training_note([], [], 2) == []
