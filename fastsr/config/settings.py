"""Every setting of a training run: what it means, its unit, and when it has no effect."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

Variant = Literal["independent", "ml", "ml-star"]
Border = Literal["replicate", "mirror"]
MixingName = Literal["variant", "independent", "mutual", "ring", "star", "pairs"]
SCALES = (2, 3, 4, 8)


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Images: what is trained on, and how patches are drawn from it."""

    data: tuple[Path, ...] = ()
    """Folders of high-resolution training images, searched recursively. None: the sample photos (demo)."""
    val: tuple[Path, ...] = ()
    """Folders of high-resolution images to validate on. None: no validation (the demo keeps two photos for it)."""
    cache: Path | None = None
    """Folder for packed pixels, as large as the decoded images. Default: ~/.cache/fastsr."""
    skip_bad: bool = False
    """Leave out images that are unreadable or smaller than a patch, and list them, instead of stopping."""
    batch: int = 16
    """Patches per step; all peers see the same ones."""
    patch: int = 96
    """Side of a high-resolution patch in pixels, a multiple of the scale, at least 16."""
    border: Border = "replicate"
    """What bicubic downscaling sees beyond an image: older (replicate) or newer (mirror) MATLAB releases."""
    probability: Literal["uniform", "area"] = "uniform"
    """Draw every image alike, or large images more often, in proportion to their area."""
    augment: bool = True
    """Turn and mirror patches in 8 ways."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Networks of each peer."""

    scale: Literal[2, 3, 4, 8] = 4
    """Upscaling factor."""
    blocks: int = 32
    """Residual blocks of the generator."""
    filters: int = 64
    """Channels of the generator."""
    skip: Literal["none", "nearest", "bicubic"] = "none"
    """Global skip: how the image is enlarged that the generator only adds details to. None: it makes all of the image,
    as in the paper. Small networks and short runs need one for colours."""
    discriminator_filters: int = 64
    """Channels of the discriminator's first convolution; its last has eight times as many."""


@dataclass(frozen=True, kw_only=True)
class CohortConfig:
    """Who learns from whom."""

    peers: int = 2
    """SRGANs trained together on the same patches."""
    variant: Variant = "ml"
    """independent: no distillation. ml: discriminators teach each other. ml-star: by softened probabilities."""
    temperature: tuple[float, ...] = ()
    """Softening temperature T, one for all peers or one each. Default: 4 for ml-star, else 1. No effect on a peer
    without teachers."""
    mixing: MixingName = "variant"
    """Who teaches whom: by the variant, all others (mutual), the previous peer (ring), peer 0 (star), or one's
    neighbour in pairs. A matrix of your own goes into a TOML file as mixing_matrix."""
    mixing_matrix: Annotated[tuple[tuple[float, ...], ...], tyro.conf.Suppress] = ()
    """M[k][j]: the weight of peer j's teaching in the loss of peer k; diagonal 0. Overrides `mixing`; TOML only."""
    starts: tuple[int, ...] = ()
    """Which initial weights each peer has, one number each: peers with equal numbers begin alike, and differ only by
    their teachers. Default: all differ."""
    kl_weight: float = 1.0
    """Weight lambda of the KL divergence in each discriminator's loss."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The generators' loss."""

    content: Literal["vgg54", "vgg22", "random-vgg", "pixel"] = "vgg54"
    """Content loss: VGG19 features conv5_4 or conv2_2, the same network with random weights, or pixels."""
    vgg: Path | None = None
    """File with torchvision's VGG19 weights. Default: downloaded once. No effect for random-vgg and pixel."""
    content_weight: float | Literal["auto"] = "auto"
    """Weight of the content loss. auto: of features, what content_ratio says; of pixels, 1."""
    content_ratio: float = 20.0
    """How many times the weighted adversarial loss the weighted content loss is at the start of the adversarial stage,
    which sets content_weight. No effect unless that is auto and features are compared."""
    adversarial_weight: float = 1e-3
    """Weight of the adversarial loss."""

    @property
    def initial_content_weight(self) -> float:
        """The weight of the content loss until it is measured."""
        return 1.0 if self.content_weight == "auto" else self.content_weight


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How long, and how fast, to learn."""

    steps: int = 50_000
    """Adversarial training steps."""
    pretrain_steps: int = 0
    """Steps of SRResNet pre-training before them: generators alone, mean squared error of pixels."""
    lr: float = 1e-4
    """Learning rate of Adam, for generators and discriminators."""
    lr_milestones: tuple[int, ...] = ()
    """Steps (pre-training included) at which the learning rate is multiplied by lr_gamma. None: constant."""
    lr_gamma: float = 0.1
    """Factor at each milestone. No effect without milestones."""
    ema: float = 0.999
    """Decay per step of the averaged generator, which is the one evaluated. Lower at first: min(ema, (1+t)/(10+t))."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """Where and how to compute."""

    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""
    amp: bool = False
    """Mixed precision: bf16, or fp16 with loss scaling on GPUs without it. On a CPU without bf16 units: fp32."""
    compile: bool = False
    """Compile the networks with torch.compile, block by block."""
    autotune: bool = False
    """Time every template that torch.compile has for each convolution, beside cuDNN, and keep the fastest; compiling
    takes longer. No effect without --compile."""
    combine_kernels: bool = False
    """Let torch.compile launch independent kernels of a block as one, which torch calls experimental. No effect without
    --compile."""
    graph: Literal["on", "auto", "off"] = "on"
    """Record a training step once and launch it as one CUDA graph. Where that fails, on stops and auto goes on without.
    --no-graph is short for --graph off. No effect without a GPU."""
    peer_streams: int = 0
    """Peers that a GPU works on at the same time. 0: all. No effect without a GPU."""
    checkpoint_activations: bool = False
    """Spare memory: keep only the inputs of the generator's blocks, and compute the rest again going backward."""
    fused: bool = True
    """Compute losses on logits and draw patches by Triton kernels, on a GPU. Off: the same in plain torch."""
    channels_last: bool = True
    """Keep channels innermost in memory, which convolutions prefer."""
    seed: int = 0
    """Seed of initial weights and of patches."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run writes, and how often (in steps)."""

    out: Path | None = None
    """Folder of the run. Default: runs/RECIPE-xSCALE, numbered where that exists."""
    resume: bool = False
    """Continue the run in --out (default: the latest in runs/) exactly where its last checkpoint was saved.
    --resume RUN is short for --resume --out RUN."""
    log_every: int = 50
    """Steps averaged into one row of metrics."""
    save_every: int = 1000
    """Steps between checkpoints."""
    val_every: int = 1000
    """Steps between validations, each with a picture."""
    keep: int = 3
    """Checkpoints to keep; older ones are deleted."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a cohort of SRGANs that see the same patches and may teach each other."""

    recipe: Annotated[str, tyro.conf.Suppress] = "paper"
    images: ImagesConfig = field(default_factory=ImagesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    @property
    def total_steps(self) -> int:
        return self.optim.pretrain_steps + self.optim.steps

    def with_absolute_paths(self) -> "TrainConfig":
        """The same settings, meant the same wherever the run is continued from."""
        images, vgg = self.images, self.loss.vgg
        return replace(
            self,
            images=replace(images, data=absolute(images.data), val=absolute(images.val)),
            loss=replace(self.loss, vgg=vgg and vgg.absolute()),
        )


def absolute(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path.absolute() for path in paths)
