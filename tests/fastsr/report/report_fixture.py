"""Runs and a reproduction that never were, in the files that fastsr writes. Numbers are plausible and repeatable."""

import json
from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastsr.config.settings import (
    CohortConfig,
    ImagesConfig,
    ModelConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
)
from fastsr.config.toml import to_toml
from tests.images import random_image

PAIRS = tuple(tuple(1.0 if k // 2 > 0 and j == k ^ 1 else 0.0 for j in range(6)) for k in range(6))
SIX = CohortConfig(peers=6, temperature=(1, 1, 1, 1, 4, 4), mixing_matrix=PAIRS)
VARIANTS = ("Independent", "Independent", "ML", "ML", "ML*", "ML*")
METRICS = ("psnr", "ssim", "niqe", "pi")
SETS = {"Set5": 5, "Set14": 14}
PRETRAIN, STEPS, EVERY = 500, 2000, 25


def write_run(
    folder: Path,
    cohort: CohortConfig | None = None,
    *,
    scale: int = 4,
    until: int = PRETRAIN + STEPS,
    side: int = 200,
    evaluated: bool = True,
) -> Path:
    """A run of two ML peers, unless told otherwise, trained `until` a step. Pictures are `side` pixels wide."""
    folder.mkdir(parents=True)
    cohort = cohort or CohortConfig()
    config = TrainConfig(
        images=ImagesConfig(data=(Path("DIV2K/HR"),), val=(Path("Set5"),)),
        model=ModelConfig(scale=scale, blocks=6, filters=48),  # pyright: ignore[reportArgumentType]
        cohort=cohort,
        optim=OptimConfig(steps=STEPS, pretrain_steps=PRETRAIN),
        output=OutputConfig(out=folder, log_every=EVERY, val_every=250),
    )
    (folder / "config.toml").write_text(to_toml(config))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    rows = training_rows(cohort.peers, until) + validation_rows(cohort.peers, until)
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "train", "st'
    )
    if evaluated:
        write_evaluation(folder / "evaluation", cohort, scale, side)
    return folder


ENVIRONMENT = {
    "fastsr": "0.1.0", "python": "3.11.7", "torch": "2.11.0+cu128", "triton": "3.6.0", "cuda": "12.8",
    "gpus": ["NVIDIA H200"], "processor": "AMD EPYC 9554", "threads": 16, "system": "Linux-6.8-x86_64",
    "command": ["fastsr", "train", "--data", "DIV2K/HR", "--val", "Set5"],
}  # fmt: skip


def training_rows(peers: int, until: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for step in range(EVERY, until + 1, EVERY):
        wall = {"steps_per_second": 41 + float(rng.normal(0, 1)), "time": 1.7e9 + step}
        row: dict[str, Any] = {"kind": "train", "step": step, "lr": 1e-4, "wall": wall}
        if step <= PRETRAIN:
            losses = [{"pixel": 0.4 * exp(-step / 70) + 0.002 + 0.0003 * k} for k in range(peers)]
            rows.append({**row, "stage": "pretraining", "peers": losses})
        else:
            rows.append(
                {
                    **row,
                    "stage": "training",
                    **adversarial_row(peers, (step - PRETRAIN) / STEPS, rng),
                }
            )
    return rows


def adversarial_row(peers: int, part: float, rng: np.random.Generator) -> dict[str, Any]:
    losses: list[dict[str, float]] = []
    for k in range(peers):
        real = 0.5 + 0.3 * (1 - exp(-3 * part)) + 0.02 * k + float(rng.normal(0, 0.02))
        fake = 0.5 - 0.28 * (1 - exp(-3 * part)) - 0.02 * k + float(rng.normal(0, 0.02))
        real, fake = min(max(real, 0.01), 0.99), min(max(fake, 0.01), 0.99)
        distance = 0.3 * exp(-6 * part) + 0.0007 + abs(float(rng.normal(0, 0.0004)))
        losses.append(
            {
                "content": 0.6 - 0.2 * part + 0.02 * k + float(rng.normal(0, 0.02)), "adversarial": -log(fake),
                "bce_real": -log(real), "bce_fake": -log(1 - fake), "kl_real": distance, "kl_fake": 2 * distance,
                "d_prob_real": real, "d_prob_fake": fake,
            }
        )  # fmt: skip
    matrix = [
        [0.0 if k == j else pair_distance(k, j, part, rng) for j in range(peers)]
        for k in range(peers)
    ]
    return {"peers": losses, "disagreement": matrix, "calibration": calibration_row(peers, rng)}


def pair_distance(k: int, j: int, part: float, rng: np.random.Generator) -> float:
    taught = k // 2 == j // 2 and k > 1
    return (0.02 if taught else 0.2) * (1 + 2 * part) * float(rng.uniform(0.8, 1.2))


def calibration_row(peers: int, rng: np.random.Generator) -> dict[str, list[list[int]]]:
    def counts(a: float, b: float) -> list[int]:
        return np.histogram(rng.beta(a, b, 16), 10, (0, 1))[0].tolist()

    return {
        "real": [counts(3, 1.4 + 0.2 * k) for k in range(peers)],
        "generated": [counts(1.3, 3) for _ in range(peers)],
    }


def validation_rows(peers: int, until: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(250, until + 1, 250):
        bend = 29.2 - 4 * exp(-step / 180) - (0.5 if step > PRETRAIN else 0)
        scores = {"bicubic": {"psnr": 28.43, "ssim": 0.8101}}
        scores |= {
            f"peer {k}": {"psnr": bend + 0.1 * k, "ssim": 0.83 - 1 / step + 0.002 * k}
            for k in range(peers)
        }
        rows.append({"kind": "validation", "step": step, "scores": scores})
    return rows


def models_of(cohort: CohortConfig) -> dict[str, dict[str, str]]:
    variants = VARIANTS if cohort.peers == 6 else ("ML",) * cohort.peers
    models: dict[str, dict[str, str]] = {"bicubic": {}}
    for weights, suffix in (("ema", ""), ("raw", " raw")):
        for k, variant in enumerate(variants):
            file = f"checkpoints/step-00002500/peer-{k}-{weights}.safetensors"
            models[f"peer {k}{suffix}"] = {"file": file, "weights": weights, "variant": variant}
    return models


def write_evaluation(folder: Path, cohort: CohortConfig, scale: int, side: int) -> None:
    folder.mkdir()
    models = models_of(cohort)
    images = {
        name: [f"{name.lower()}-{k}.png" for k in range(count)] for name, count in SETS.items()
    }
    rows = [
        {"set": name, "image": image, "model": model, **scores(model, name, k)}
        for name, files in images.items()
        for k, image in enumerate(files)
        for model in models
    ]
    content: dict[str, Any] = {
        "format": 1, "scale": scale, "step": PRETRAIN + STEPS, "protocol": PROTOCOL, "environment": ENVIRONMENT,
        "models": models, "metrics": list(METRICS), "missing": {"lpips": "pyiqa is not installed"},
        "sets": {name: {"images": count, "notes": []} for name, count in SETS.items()},
        "means": {name: {model: mean_scores(rows, name, model) for model in models} for name in SETS},
        "images": rows,
        "pictures": [write_pictures(folder, name, image, models, side) for name in SETS for image in images[name][:2]],
    }  # fmt: skip
    content["sets"]["Set14"]["notes"] = ["bridge.png is grey and is compared on its grey values"]
    (folder / "evaluation.json").write_text(json.dumps(content))


PROTOCOL = {
    "psnr": "dB, on BT.601 luma of 8-bit images, as many pixels cut from each side as the scale",
    "ssim": "Gaussian window 11x11, sigma 1.5, on the same luma",
    "niqe": "MATLAB's parameters, on the same luma",
    "low_resolution": "MATLAB's bicubic, border replicate",
    "precision": "fp32",
}


def scores(model: str, test_set: str, index: int) -> dict[str, float | None]:
    gain = (
        0.0
        if model == "bicubic"
        else 0.4 + 0.05 * int(model.split()[1]) - (0.07 if "raw" in model else 0)
    )
    base = (28.43 if test_set == "Set5" else 26.0) + 0.3 * (index % 5)
    niqe = None if (index, model) == (3, "bicubic") else 6.1 - 2 * gain
    return {"psnr": base + gain, "ssim": 0.81 + 0.03 * gain, "niqe": niqe, "pi": 5.5 - 3 * gain}


def mean_scores(
    rows: Sequence[Mapping[str, Any]], test_set: str, model: str
) -> dict[str, float | None]:
    mine = [row for row in rows if row["set"] == test_set and row["model"] == model]
    values = {
        metric: [row[metric] for row in mine if row[metric] is not None] for metric in METRICS
    }
    return {metric: sum(found) / len(found) if found else None for metric, found in values.items()}


def write_pictures(
    folder: Path, test_set: str, image: str, models: Mapping[str, object], side: int
) -> dict[str, Any]:
    """The original, and for each method that original with a little noise of its own."""
    stem = f"pictures/{test_set}/{Path(image).stem}"
    (folder / stem).mkdir(parents=True)
    original = random_image(side, side * 3 // 4, len(image) + sum(map(ord, image)))
    files: dict[str, str] = {}
    for index, method in enumerate(("HR", *(name for name in models if "raw" not in name))):
        small = Image.fromarray(original).resize((side // (2 + index), side // (2 + index)))
        pixels = (
            original
            if method == "HR"
            else np.asarray(small.resize(original.shape[1::-1], Image.Resampling.BICUBIC))
        )
        files[method] = f"{stem}/{method.replace(' ', '-')}.png"
        Image.fromarray(pixels).save(folder / files[method])
    return {"set": test_set, "image": image, "files": files}


def write_reproduction(folder: Path, side: int = 200) -> Path:
    """Two runs of six peers, at x2 and x4, and their tables."""
    names = {4: "x4-seed0", 2: "x2-seed0"}
    for scale, name in names.items():
        write_run(folder / name, SIX, scale=scale, side=side)
    tables = [write_table(scale, metric) for scale in names for metric in ("psnr", "ssim")]
    content = {
        "format": 1,
        "plan": {"scales": [2, 4], "seeds": [0], "steps": STEPS, "data": "DIV2K, 800 images"},
        "tables": tables,
        "notes": [
            "what differs from the paper: 6 blocks instead of 32",
            "the learning rate is illegible in the paper",
        ],
        "runs": list(names.values()),
    }
    (folder / "tables.json").write_text(json.dumps(content))
    return folder


DIFFERENCES = {
    "Set5": {"ML": (0.05, -0.02, 0.12), "ML*": (0.09, 0.03, 0.15)},
    "Set14": {"ML": (0.06, 0.01, 0.11), "ML*": (-0.05, -0.09, -0.01)},
    "BSD100": {"ML": (0.03, 0.02, 0.04), "ML*": (0.01, -0.01, 0.03)},
    "Urban100": {"ML": None, "ML*": (0.02, None, None)},
}
PAPER = {"Independent": 26.96, "ML": 27.153, "ML*": None}


def write_table(scale: int, metric: str) -> dict[str, Any]:
    unit, start, factor = ("dB", 28.8, 1.0) if metric == "psnr" else ("", 0.82, 0.02)
    rows: list[dict[str, Any]] = []
    for index, (name, differences) in enumerate(DIFFERENCES.items()):
        variants: dict[str, Any] = {}
        for variant in ("Independent", "ML", "ML*"):
            gain = ((differences.get(variant) or (0.0,))[0]) * factor
            peers = [
                start - 0.7 * factor * index + gain + shift * factor for shift in (0.05, -0.05)
            ]
            paper = PAPER[variant] if metric == "psnr" else None
            variants[variant] = {"peers": peers, "mean": sum(peers) / 2, "paper": paper}
        scaled = {
            key: triple
            and dict(zip(("mean", "low", "high"), (v and v * factor for v in triple), strict=True))
            for key, triple in differences.items()
        }
        bicubic = start - (0.7 * index + 0.4) * factor
        rows.append(
            {
                "set": name,
                "images": (5, 14, 100, 100)[index],
                "bicubic": bicubic,
                "variants": variants,
                "differences": scaled,
            }
        )
    noise = 0.04 * factor if scale == 4 else None
    return {
        "scale": scale,
        "metric": metric,
        "unit": unit,
        "higher_is_better": True,
        "rows": rows,
        "noise": noise,
    }


def change(file: Path, **changes: Any) -> None:
    """Writes other values into a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
