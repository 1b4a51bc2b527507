"""Scoring from Python, as `fastsr eval` does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from fastsr.config.fixed import fixed_degradation
from fastsr.config.settings import Border
from fastsr.evaluation.evaluate import evaluate_models
from fastsr.evaluation.request import Request
from fastsr.evaluation.results import Evaluation
from fastsr.files import default_data_root
from fastsr.system.device import choose_device


def evaluate(
    models: str | Path | Sequence[str | Path],
    sets: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    metrics: str | Sequence[str] = (),
    weights: Literal["both", "ema", "raw"] = "ema",
    data_root: str | Path | None = None,
    metric_weights: str | Path | None = None,
    lr: Literal["bicubic", "given"] = "bicubic",
    degrade: str | Path = "bicubic",
    degrade_seed: int = 0,
    border: Border = "replicate",
    bits: Literal[8, 16] | None = None,
    pictures: int = 2,
    amp: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> Evaluation:
    """Scores models beside bicubic on test sets. Means are in `.means[set][model][metric]`.

    Args:
        models: runs, checkpoints or generators' files, all of one scale.
        sets: names below `data_root`, such as Set5, or folders of images.
        out: folder for tables, JSON and pictures; sets are added to an evaluation of the same models there.
        metrics: of psnr, psnr_rgb, ssim, niqe, pi, lpips, dists, one or several; empty: all of the first five that can
            be measured.
        weights: averaged generators (ema), those as trained (raw), or both; no effect on single files.
        lr: low resolution made from the originals by MATLAB's bicubic, or as it came with the set.
        degrade: or by degradations, drawn once for each image: a preset, an options file, or a run's config.toml.
        degrade_seed: of these.
        bits: of the images that are compared; None: as runs were trained, 8 for single files.
        pictures: images of each set whose pictures are kept. quiet: print no tables.
    Raises:
        UserError: a model, set or image cannot be used.
    """
    request = Request(
        models=tuple(Path(model) for model in several(models)),
        sets=tuple(str(one) for one in several(sets)),
        data_root=Path(data_root) if data_root else default_data_root(),
        out=Path(out),
        weights=("ema", "raw") if weights == "both" else (weights,),
        metrics=tuple(map(str, several(metrics))),
        metric_weights=Path(metric_weights) if metric_weights else None,
        lr=lr,
        degraded=fixed_degradation(str(degrade), degrade_seed),
        border=border,
        bits=bits,
        pictures=pictures,
        amp=amp,
        overwrite=overwrite,
    )
    return evaluate_models(request, choose_device(device), Console(quiet=quiet))


def several(given: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return (given,) if isinstance(given, str | Path) else given
