"""The arguments of each command. Its help is made from them, without importing torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fastsr.config.recipes import RecipeName, paper
from fastsr.config.settings import TrainConfig

MetricName = Literal["psnr", "psnr_rgb", "ssim", "niqe", "pi", "lpips", "dists"]


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a cohort of SRGANs that see the same patches and may teach each other.

    With --data the defaults are those of the paper. Without, it trains on sample photos, as a demonstration that takes
    minutes; its defaults are named where they differ.

    Examples:
        fastsr train
        fastsr train --data DIV2K_train_HR --val Set5/HR --out runs/x4 --amp --compile
    """

    config: Path | None = None
    """TOML file with settings, in sections as in a run's config.toml; options given here go before it."""
    recipe: RecipeName | None = None
    """Source of the defaults. Default: paper with --data, demo without."""
    train: TrainConfig = field(default_factory=paper)


@dataclass(frozen=True, kw_only=True)
class DoctorArguments(TrainArguments):
    """Examine this machine, the images in --data, and the memory and time that a run would need.

    Takes the options of train, and trains nothing. The exit status is 1 where images cannot be used. With --prove also
    what this machine computes is held against definitions, in about a minute; the exit status is 1 where a part fails.

    Examples:
        fastsr doctor --data DIV2K_train_HR --amp --compile
        fastsr doctor --prove --amp --compile
    """


@dataclass(frozen=True, kw_only=True)
class ReproduceArguments(TrainArguments):
    """Repeat the paper's experiment: for each scale, six peers on the same patches (an Independent, an ML and an ML*
    pair), evaluated, with the paper's numbers beside ours. The same command continues where it was stopped.

    Takes most options of train; --out is the folder for everything. --temperature is that of ML*.

    Examples:
        fastsr reproduce --data DIV2K_train_HR --out reproduction --amp --compile
        fastsr reproduce --data photos --scales 2 --seeds 0 1 2 --sets Set5 Set14
    """

    recipe: Literal["paper", "demo"] | None = None
    """Source of the defaults. Default: paper."""
    scales: tuple[Literal[2, 3, 4, 8], ...] = (2, 4)
    """Scales to train, one run each."""
    seeds: tuple[int, ...] = (0,)
    """Repetitions: every scale is trained with each of these seeds."""
    sets: tuple[str, ...] = ("Set5", "Set14", "BSD100", "Urban100")
    """Test sets: names below --data-root, or folders of images."""
    data_root: Path | None = None
    """Folder of test sets, and of DIV2K. Default: where `fastsr data fetch` puts them, ~/.cache/fastsr/data."""
    metrics: tuple[MetricName, ...] = ()
    """Metrics to measure. Default: psnr, psnr_rgb, ssim, and niqe and pi where they can be measured."""
    perceptual_sets: tuple[str, ...] = ()
    """Test sets that perceptual metrics are measured on, which takes far longer than all else. Default: all."""
    pi_images: int = 0
    """Images of each test set, evenly spaced, that NIQE and PI are measured on: PI takes some 5 seconds of a CPU for
    256x256 pixels, which makes 30 hours for everything. 0: all."""
    average_checkpoints: int = 1
    """Checkpoints, the last ones, that every score is averaged over."""
    controls: tuple[Literal["one-way", "weaker", "unscaled"], ...] = ()
    """Pairs to train beside the three, which tell what in ML does what it does: taught by Independent peers and
    teaching nobody, Independent with half the adversarial weight, ML* without T^2. Each costs a third more."""
    level: float = 0.05
    """Family-wise level of what several seeds decide. Divide it by how often you will look at the results."""
    metric_weights: Path | None = None
    """Folder with pyiqa's weight files, such as niqe_modelparameters.mat. Default: pyiqa downloads them."""
    tables_only: bool = False
    """Train and evaluate nothing: write the tables of what is evaluated already with these options on these test sets,
    such as scales with unequal numbers of seeds."""


REPRODUCE_DECIDES = {
    "--scale": "use --scales",
    "--seed": "use --seeds",
    "--peers": "it trains an Independent, an ML and an ML* pair",
    "--variant": "it trains an Independent, an ML and an ML* pair",
    "--starts": "its three pairs begin alike",
    "--mixing": "it trains an Independent, an ML and an ML* pair",
    "--resume": "it goes on by itself where the folder in --out was left",
    "--from": "continue that run alone: fastsr train --resume RUN --from",
}
"""Options of train that reproduce refuses, and what to do instead."""


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Score trained models beside bicubic on test sets: a table for each set, CSV, JSON, and pictures.

    Examples:
        fastsr eval runs/x4 --sets Set5 Set14 BSD100
        fastsr eval a.safetensors b.safetensors --sets photos --metrics psnr ssim
    """

    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Runs, checkpoints, or generators (.safetensors). Of a run: all peers of its latest checkpoint."""
    sets: tuple[str, ...]
    """Test sets: names below --data-root, such as Set5 Set14, or folders of images."""
    data_root: Path | None = None
    """Folder of test sets. Default: where `fastsr data fetch` puts them, ~/.cache/fastsr/data."""
    out: Path | None = None
    """Folder for the results; sets are added to an evaluation of the same models there. Default: evaluation/ in the run
    if there is just one, else evaluation/ here."""
    overwrite: bool = False
    """Replace an evaluation of other models, or by another protocol. Files that are not its own stay."""
    weights: Literal["both", "ema", "raw"] = "both"
    """Averaged generators (ema), those as trained (raw), or both. No effect on single files."""
    metrics: tuple[MetricName, ...] = ()
    """Metrics to measure. Default: psnr, psnr_rgb, ssim, and niqe and pi where pyiqa is installed and their weights are
    at hand."""
    metric_weights: Path | None = None
    """Folder with pyiqa's weight files, such as niqe_modelparameters.mat. Default: pyiqa downloads them."""
    lr: Literal["bicubic", "given"] = "bicubic"
    """Low-resolution images: made from the originals by MATLAB's bicubic, or those that came with the test set."""
    degrade: str = "bicubic"
    """Or made by blind degradations, drawn once for each image from its pixels: real-esrgan, bsrgan, light, an options
    file (.yml), or the config.toml of a run, whose validation then is repeated."""
    degrade_seed: int = 0
    """Seed of --degrade. No effect without."""
    border: Literal["replicate", "mirror"] = "replicate"
    """Border rule of the bicubic that makes low-resolution images: older or newer MATLAB releases."""
    bits: Literal[8, 16] | None = None
    """Bits of the samples that are compared. Default: those that the runs were trained on, 8 for single files."""
    pictures: int = 2
    """Images of each set whose pictures, by every model, are kept, for `fastsr report`."""
    amp: bool = False
    """Mixed precision, on a GPU. Scores then differ a little from those in fp32."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""


@dataclass(frozen=True, kw_only=True)
class FetchArguments:
    """Download data sets from where their authors publish them. Continues what was interrupted.

    Examples:
        fastsr data fetch set5 set14
        fastsr data fetch div2k --root /data
    """

    names: Annotated[
        tuple[Literal["div2k", "set5", "set14", "bsd100", "urban100"], ...], tyro.conf.Positional
    ]
    """Data sets to download."""
    root: Path | None = None
    """Folder for them. Default: ~/.cache/fastsr/data, where `fastsr eval` looks for test sets."""
    cache: Path | None = None
    """Folder for the packed pixels of training images. Default: ~/.cache/fastsr."""


@dataclass(frozen=True, kw_only=True)
class ListArguments:
    """List the data sets that `fastsr data fetch` knows, and those that are there.

    Examples:
        fastsr data list
        fastsr data list --root /data
    """

    root: Path | None = None
    """Folder of data sets. Default: ~/.cache/fastsr/data."""


@dataclass(frozen=True, kw_only=True)
class PacksArguments:
    """List the packs of decoded images that are kept, with their size and when they were used.

    Examples:
        fastsr data packs
        fastsr data packs --prune
    """

    cache: Path | None = None
    """Folder of packs. Default: ~/.cache/fastsr."""
    prune: bool = False
    """Delete those that were not used for 30 days. They are made again when they are needed."""


@dataclass(frozen=True, kw_only=True)
class InfoArguments:
    """Tell of a run: its settings, steps, checkpoints and the best of them, scores, and the next commands.

    Of a folder of runs one line each; of a model's file what it says of itself.

    Examples:
        fastsr info runs/x4
        fastsr info runs
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run, a folder of runs, or a model's .safetensors file."""


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """One page, without network or server: settings, curves, tables and comparisons of runs.

    Examples:
        fastsr report runs/x4
        fastsr report runs/first runs/second --out both.html
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Runs, or the folder of a reproduction."""
    out: Path | None = None
    """The page. Default: report.html in the run if there is just one, else here."""
    overwrite: bool = False
    """Replace a file of that name that is no page of fastsr. Its own pages are replaced in any case."""
