"""Proves the kernels of a device: the same numbers as their definitions in float64, on random and on extreme input.

Axes: P peers, E logits of one peer, N patches, H W sides of a patch, C channels.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from fastsr_kernels.bicubic import downscale_taps
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss
from fastsr_kernels.cohort_loss import reference as loss_reference
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler
from fastsr_kernels.patch_sampler import reference as patch_reference
from torch import Tensor

from fastsr.proof.parts import Part, Unproved, part

LOSS, SAMPLER = "cohort loss", "patch sampler"
TOLERANCE = 1e-5
"""Relative to the largest entry; the largest error that tests have seen in fp32 arithmetic is 1e-6."""
EXTREMES = (1e4, -1e4, 0.0, 88.8, -88.8, 17.0, -17.0, 1e-4)
"""Logits at the ends of what is allowed, where fp32 exponentials end, where probabilities round to one, and at zero."""
SIZES = ((1, 1), (2, 16), (3, 63), (6, 4097))
"""Peers, and logits of each: alone, a batch of the paper's, an odd number, several programs of a kernel."""
PATCH = 24
Loss = Callable[..., CohortLoss]
Draw = Callable[[Images, Crop, int, Tensor], tuple[Tensor, Tensor]]


def prove_cohort_loss(device: torch.device, compute: Loss = cohort_loss) -> Part:
    """The loss on logits, values and gradients, against float64."""

    def check() -> str:
        dtypes = (torch.float32, torch.bfloat16, torch.float16)
        cases = list(product(SIZES, (False, True), dtypes, (False, True)))
        worst = max(loss_error(device, compute, *case) for case in cases)
        return f"{len(cases)} cases, largest error {worst:.1e}"

    return part(LOSS, "--no-fused", check)


def loss_error(
    device: torch.device,
    compute: Loss,
    size: tuple[int, int],
    extreme: bool,
    dtype: torch.dtype,
    one_outcome: bool,
) -> float:
    """The largest relative error of any output. Raises Unproved where it is above the tolerance."""
    logits, others = loss_inputs(*size, extreme, dtype)
    got = compute(*(x.to(device) for x in (*logits, *others)), one_outcome=one_outcome)
    want = loss_reference.cohort_loss(
        *(x.double() for x in (*logits, *others)), one_outcome=one_outcome
    )
    mixing_PP, temperature_P, _ = others
    # A divergence is the difference of entropies, which may be larger than itself.
    nats = max(1.0, float((temperature_P.square() * mixing_PP.sum(1)).max()) * math.log(2))
    worst = 0.0
    for name, a, b in zip(CohortLoss._fields, got, want, strict=True):
        smallest = 1e-30 if name.startswith("grad") else nats
        difference = float((a.double().cpu() - b).abs().nan_to_num(math.inf).max())
        error = difference / max(float(b.abs().max()), smallest)
        if not error <= TOLERANCE:
            peers, count = size
            kind = "extreme" if extreme else "random"
            raise Unproved(
                f"{name} is off by {error:.1e} (at most {TOLERANCE:.0e}) for {kind} {dtype} logits, "
                f"{peers} x {count}"
            )
        worst = max(worst, error)
    return worst


def loss_inputs(
    peers: int, count: int, extreme: bool, dtype: torch.dtype
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Logits of real and generated images, and mixing matrix, temperatures and weights, on the host."""
    seeded = torch.Generator().manual_seed(peers * count)

    def drawn(*shape: int) -> Tensor:
        if extreme:
            return torch.tensor(EXTREMES)[torch.randint(len(EXTREMES), shape, generator=seeded)]
        return 3 * torch.randn(shape, generator=seeded)

    real, fake = (drawn(peers, count).to(dtype) for _ in range(2))
    mixing = torch.rand(peers, peers, generator=seeded) * (1 - torch.eye(peers)) / peers
    temperature, weight = 1 + 3 * torch.rand(peers, generator=seeded), torch.ones(peers)
    return (real, fake), (mixing, temperature, weight)


def prove_patch_sampler(device: torch.device, draw: Draw = patch_sampler) -> Part:
    """The patches of a step against bicubic in float64, bit for bit; on a GPU also from pinned host memory."""

    def check() -> str:
        places = ["pageable", "pinned"] if device.type == "cuda" else ["pageable"]
        cases = list(product((2, 3, 4, 8), ("replicate", "mirror"), (0, 2**33), places))
        for scale, border, step, place in cases:
            crop = Crop(scale, PATCH, 8, "mirror" if border == "mirror" else "replicate", True)
            compare_patches(device, draw, crop, step, place == "pinned")
        return f"{len(cases)} batches, bit for bit"

    return part(SAMPLER, "--no-fused", check)


def compare_patches(device: torch.device, draw: Draw, crop: Crop, step: int, pinned: bool) -> None:
    """Raises Unproved where a sample of a patch differs."""
    images = noise()
    pixels = images.pixels_B.pin_memory() if pinned else images.pixels_B.to(device)
    seed = 7
    tables = {name: x.to(device) for name, x in images._asdict().items() if x is not None}
    there = images._replace(**tables | {"pixels_B": pixels})
    got = draw(there, crop, seed, torch.tensor(step, device=device))
    for name, a, b in zip(("LR", "HR"), got, by_float64(images, crop, seed, step), strict=True):
        wrong = int((a.cpu() != patch_reference.to_unit(b)).sum())
        if wrong:
            raise Unproved(
                f"{wrong} of {a.numel()} samples of {name} patches differ at x{crop.scale}, {crop.border}"
            )


def noise() -> Images:
    """Small images of odd sizes, one no larger than a patch; much black and white, where bicubic overshoots."""
    seeded = torch.Generator().manual_seed(0)
    height_I, width_I = torch.tensor([[24, 40, 33], [24, 57, 26]])
    area_I = height_I * width_I
    pixels_B = torch.randint(-200, 456, (3 * int(area_I.sum()),), generator=seeded).clamp(0, 255)
    weights_I = torch.arange(1, 4)
    return Images(pixels_B.to(torch.uint8), area_I.cumsum(0) - area_I, height_I, width_I, weights_I)


def by_float64(images: Images, crop: Crop, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """The patches of a step as bytes `lr_NhwC, hr_NHWC`, shrunk in float64, on the host."""
    choice = patch_reference.choose(images, crop, seed, torch.tensor(step))
    window_NHWC = patch_reference.windows(images, crop, choice).double()
    margin = (window_NHWC.shape[1] - crop.patch) // 2
    inside = slice(margin, margin + crop.patch)
    pair = shrunk(shrunk(window_NHWC, 1, crop.scale), 2, crop.scale), window_NHWC[:, inside, inside]
    lr, hr = (patch_reference.orient(x, choice.orientation_N).to(torch.uint8) for x in pair)
    return lr, hr


def shrunk(x: Tensor, dim: int, scale: int) -> Tensor:
    """One axis shrunk by MATLAB's bicubic, rounded half up to whole numbers from 0 to 255."""
    taps, denominator = downscale_taps(scale)
    weights: Any = torch.tensor(taps, dtype=torch.float64)
    total = (x.unfold(dim, len(taps), scale) * weights).sum(-1)
    return (total / denominator + 0.5).floor().clamp(0, 255)
