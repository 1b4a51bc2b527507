"""Small models and requests that tests evaluate."""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console

from fastsr.evaluation.evaluate import evaluate_models
from fastsr.evaluation.request import Request
from fastsr.evaluation.results import Evaluation
from fastsr.models import SRResNet
from fastsr.models.model_file import save_generator
from tests.images import random_image

CPU = torch.device("cpu")


QUIET = Console(quiet=True)


def write_images(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    folder.mkdir(parents=True)
    for k, (height, width) in enumerate(sizes):
        Image.fromarray(random_image(height, width, k)).save(folder / f"{k}.png")
    return folder


def save_model(file: Path, scale: int = 2, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_generator(SRResNet(scale, blocks=1, filters=4).eval(), file)
    return file


def run(request: Request) -> tuple[Evaluation, dict[str, Any]]:
    evaluation = evaluate_models(request, CPU, QUIET)
    return evaluation, json.loads((request.out / "evaluation.json").read_text())
