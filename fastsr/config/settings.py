"""Every setting of a training run: what it means, its unit, and when it has no effect."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fastsr.config.degrade import DegradeConfig
from fastsr.config.networks import ModelConfig, PeerConfig, with_absolute_files

Variant = Literal["independent", "ml", "ml-star"]
AdversarialName = Literal["vanilla", "lsgan", "relativistic"]
ContentName = Literal[
    "vgg54", "vgg22", "random-vgg", "random-vgg22", "layers", "random-layers", "pixel"
]
VGGLayer = Literal["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"]
Border = Literal["replicate", "mirror"]
MixingName = Literal["variant", "independent", "mutual", "ring", "star", "pairs"]
SCALES = (1, 2, 3, 4, 8)


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """The images to train on, and how patches are drawn from them."""

    data: tuple[Path, ...] = ()
    """Folders of high-resolution training images, searched recursively. Without: the sample photos; `reproduce` takes
    DIV2K."""
    lr_data: tuple[Path, ...] = ()
    """Folders of low-resolution images for those in --data, of the same names (with x4, the scale, behind or not).
    Without: they are made, by bicubic or as --degrade says."""
    val: tuple[Path, ...] = ()
    """Folders of high-resolution images to validate on. Without: no validation (the demo keeps two photos for it)."""
    val_lr_data: tuple[Path, ...] = ()
    """Folders of low-resolution images for those in --val, named as in --lr-data. Default: made by --val-degrade."""
    val_degrade: Literal["as-trained", "bicubic"] = "as-trained"
    """Low resolution of images in --val: degraded as --degrade says, once for all validations, or by bicubic. No effect
    where --degrade is bicubic, and with --val-lr-data."""
    val_degrade_seed: int = 0
    """Seed of these degradations, which --seed does not change: runs of different seeds are validated alike."""
    cache: Path | None = None
    """Folder for packed pixels, as large as the decoded images. Default: ~/.cache/fastsr."""
    skip_bad: bool = False
    """Leave out images that are unreadable or smaller than a patch, and list them, instead of stopping."""
    bits: Literal[8, 16] = 8
    """Bits of a sample. 8: of 16-bit images the upper 8. 16: all, which take twice the memory; 8-bit images times 257.
    Validation then compares 16-bit images, too."""
    batch: int = 16
    """Patches per step; all peers see the same ones."""
    patch: int = 96
    """Side of a high-resolution patch in pixels, a multiple of the scale, at least 16."""
    border: Border = "replicate"
    """Pixels beyond an image in bicubic downscaling: as in older (replicate) or newer (mirror) MATLAB releases."""
    probability: Literal["uniform", "area"] = "uniform"
    """Draw every image alike, or large images more often, in proportion to their area."""
    augment: bool = True
    """Turn and mirror patches in 8 ways."""


@dataclass(frozen=True, kw_only=True)
class CohortConfig:
    """Peers, and who learns from whom."""

    peers: int = 2
    """SRGANs trained together on the same patches."""
    variant: Variant = "ml"
    """independent: no distillation. ml: discriminators teach each other. ml-star: by softened probabilities."""
    temperature: tuple[float, ...] = ()
    """Softening temperature T, one for all peers or one each. Default: 4 for ml-star, else 1. No effect on a peer
    without teachers."""
    mixing: MixingName = "variant"
    """Teachers of each peer: by the variant, all others (mutual), the previous peer (ring), peer 0 (star), or one's
    neighbour in pairs. A matrix of your own goes into a TOML file as mixing_matrix."""
    mixing_matrix: Annotated[tuple[tuple[float, ...], ...], tyro.conf.Suppress] = ()
    """`M[k][j]`: the weight of peer j's teaching in the loss of peer k; diagonal 0. Overrides `mixing`; TOML only."""
    starts: tuple[int, ...] = ()
    """Initial weights of each peer, one number each: peers with equal numbers begin alike, and differ only by their
    teachers. Default: all differ."""
    labels: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Names of the peers in tables, where Independent, ML and ML* do not tell them apart; TOML only."""
    adversarial_factors: Annotated[tuple[float, ...], tyro.conf.Suppress] = ()
    """Factors of --adversarial-weight, one for each peer. Default: 1; TOML only."""
    kl_weight: float = 1.0
    """Weight lambda of the KL divergence in each discriminator's loss."""
    kl: Literal["bernoulli", "one-outcome"] = "bernoulli"
    """bernoulli: the divergence over both outcomes, real and not real. one-outcome: the share of the true one alone,
    which is what Keras' KLDivergence makes of one probability; it adds BCE even where peers agree."""
    distillation_scale: Literal["t2", "1"] = "t2"
    """Factor of the divergence: T^2, which keeps its gradient comparable for any T while logits are near zero (1.2 to
    2.5 times that of T = 1 at T = 4), or 1. No effect where T is 1."""
    exchange: Literal["map", "mean"] = "map"
    """Teach by every logit of a map, which needs maps of one size, or by each image's mean logit. The same for vgg."""
    peer: Annotated[tuple[PeerConfig, ...], tyro.conf.Suppress] = ()
    """Networks, initial weights, learning rate and loss weights of each peer; TOML only, one [[cohort.peer]] a peer."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The generators' loss."""

    content: ContentName = "vgg54"
    """Content loss: VGG19 features of conv5_4 (vgg54) or conv2_2 (vgg22), those of the same network with random weights
    (random-vgg, random-vgg22), several layers before their activation (layers, as in ESRGAN and Real-ESRGAN;
    random-layers), or pixel."""
    vgg_layers: tuple[VGGLayer, ...] = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
    """Layers of --content layers and random-layers, compared by mean absolute difference. No effect on others."""
    vgg_layer_weights: tuple[float, ...] = (0.1, 0.1, 1.0, 1.0, 1.0)
    """Weights of --vgg-layers, one each. The defaults of both are Real-ESRGAN's."""
    pixel_weight: float = 0.0
    """Weight of a pixel loss that is added to the features before --content-weight multiplies both. No effect with
    --content pixel."""
    pixel_loss: Literal["mse", "l1"] = "mse"
    """Pixels are compared by mean squared or mean absolute difference: in pre-training, --content pixel and
    --pixel-weight."""
    vgg: Path | None = None
    """File with torchvision's VGG19 weights. Default: downloaded once. No effect for random weights and pixels."""
    content_weight: float | Literal["auto"] = "auto"
    """Weight of the content loss. auto: of features, by --content-ratio; of pixels, 1."""
    content_ratio: float = 20.0
    """Ratio of the weighted content loss to the weighted adversarial loss at the start of the adversarial stage, which
    sets --content-weight. No effect unless that is auto and features are compared."""
    adversarial_weight: float = 1e-3
    """Weight of the adversarial loss."""
    adversarial: AdversarialName = "vanilla"
    """vanilla: binary cross entropy, as SRGAN. lsgan: least squares to 1 and 0. relativistic: real images are more real
    than the mean generated one, as ESRGAN. Peers teach each other by sigma(logit) in all of them."""

    @property
    def initial_content_weight(self) -> float:
        """The weight of the content loss until it is measured."""
        return 1.0 if self.content_weight == "auto" else self.content_weight


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Length of the training, and learning rates."""

    steps: int = 50_000
    """Adversarial training steps."""
    pretrain_steps: int = 0
    """Steps of SRResNet pre-training before them: generators alone, --pixel-loss of pixels."""
    warm_discriminator: int = 0
    """Steps between both in which discriminators alone learn, for generators that come without one."""
    lr: float = 1e-4
    """Learning rate of Adam, for generators and discriminators."""
    lr_milestones: tuple[int, ...] = ()
    """Steps (pre-training included) at which the learning rate is multiplied by --lr-gamma. Without: constant."""
    lr_gamma: float = 0.1
    """Factor at each milestone. No effect without milestones."""
    beta2: float = 0.999
    """Adam's decay of squared gradients. ESRGAN and Real-ESRGAN: 0.99."""
    ema: float = 0.999
    """Decay per step of the averaged generator, which is the one evaluated. Lower at first: min(ema, (1+t)/(10+t))."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """The device, and the ways to compute on it."""

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
    """Compute losses on logits, batch normalisation that is not compiled, and patches by Triton kernels, on a GPU. Off:
    the same in plain torch."""
    prove: bool = True
    """Before the first training with a GPU, a driver and versions that are new together, show in some seconds that
    kernels compute what they should and that replays of the graph do what single steps do. `fastsr doctor --prove`
    shows all of that, and more, at once. No effect on training without a GPU."""
    tune: bool = True
    """Before a recipe is trained on a GPU for the first time, try settings that compute the same, for at most 90
    seconds after compiling, and keep the fastest: how many peers at the same time, which networks compiled, and which
    with templates timed as by --autotune, which layout in memory, the generator's last convolution at once or by rows,
    batch normalisation that is not compiled by its kernel or torch's. What you set yourself stays. No effect without a
    GPU, without --compile and with --no-graph."""
    channels_last: bool = True
    """Keep channels innermost in memory, which convolutions prefer."""
    seed: int = 0
    """Seed of initial weights and of patches."""


@dataclass(frozen=True, kw_only=True)
class DistributedConfig:
    """Training on several processes, started by torchrun. No effect on one."""

    mesh: str = "auto"
    """ROWSxCOLUMNS of processes: peers are dealt over the rows, slices of every batch over the columns. auto: a row for
    each peer, or for each process where those are fewer, and columns of the rest."""
    sync_batch_norm: bool = True
    """Normalise by the whole batch, with which results are those of one process. Off: each process normalises by its
    slice, which is quicker and another experiment. No effect without columns."""
    exchange_every: int = 1
    """Steps by which logits are sent ahead, to hide a slow link: peers learn from teachers whose weights are so many
    steps old, on the same patches. It costs every peer one more forward pass a step, outside the CUDA graph. 1: logits
    are exchanged within the step, and nothing is old."""
    rank_timeout: int = 600
    """Seconds that a process waits in a step for others before it takes them for lost, and stops."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Files that a run writes, and intervals between them."""

    out: Path | None = None
    """Folder of the run. Default: runs/RECIPE-xSCALE, numbered where that exists (reproduce: reproduction/)."""
    resume: bool = False
    """Continue the run in --out (without: the latest in runs/) exactly where its last checkpoint was saved.
    --resume RUN is short for --resume --out RUN."""
    resume_from: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """With --resume: a checkpoint by name, such as step-00001000, where the latest is damaged; later ones are put
    aside."""
    log_every: int = 50
    """Steps averaged into one row of metrics."""
    save_every: int | None = None
    """Steps between checkpoints. Default: by time, --save-minutes."""
    save_minutes: float = 10.0
    """Minutes between checkpoints. Training goes on while they are written, and saves at its end and when it is stopped
    in any case. No effect with --save-every."""
    val_every: int = 2500
    """Steps between validations, each with a picture."""
    keep: int = 3
    """Checkpoints to keep; older ones are deleted."""
    keep_best: bool = True
    """Keep the checkpoint with the highest validation PSNR of any peer too, saved when it is validated, for
    `fastsr upscale --peer best`. PSNR favours smooth images: after pre-training, the best often is the end of that. No
    effect without validation."""
    verbose: bool = False
    """Print every metric of every peer. No effect on a terminal's live table, which shows them anyway."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a cohort of SRGANs that see the same patches and may teach each other."""

    recipe: Annotated[str, tyro.conf.Suppress] = "paper"
    images: ImagesConfig = field(default_factory=ImagesConfig)
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    @property
    def total_steps(self) -> int:
        return self.optim.pretrain_steps + self.optim.warm_discriminator + self.optim.steps

    @property
    def drawn_side(self) -> int:
        """Side in HR pixels of what is drawn from an image: a patch, and the context that degrading it takes."""
        return self.images.patch + self.degrade.context_at(self.model.scale)

    def without_idle(self) -> "TrainConfig":
        """The same settings; those of degradations, which have no effect where LR is bicubic, are then the defaults."""
        return replace(self, degrade=DegradeConfig()) if self.degrade.is_bicubic else self

    def with_absolute_paths(self) -> "TrainConfig":
        """The same settings, meant the same wherever the run is continued from."""
        images, vgg, model, peers = self.images, self.loss.vgg, self.model, self.cohort.peer
        return replace(
            self,
            model=replace(
                model,
                init_generator=absolute(model.init_generator),
                init_discriminator=absolute(model.init_discriminator),
            ),
            cohort=replace(self.cohort, peer=tuple(with_absolute_files(peer) for peer in peers)),
            images=replace(
                images,
                data=absolute(images.data),
                lr_data=absolute(images.lr_data),
                val=absolute(images.val),
                val_lr_data=absolute(images.val_lr_data),
                cache=images.cache and images.cache.absolute(),
            ),
            loss=replace(self.loss, vgg=vgg and vgg.absolute()),
        )


def absolute(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path.absolute() for path in paths)
