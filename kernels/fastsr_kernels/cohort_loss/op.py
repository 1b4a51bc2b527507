"""The cohort loss as an operator of torch: eager, compiled and captured, on CPUs and GPUs, differentiable.

Axes: P peers, E logits of one peer.
"""

from typing import Any

import torch
from torch import Tensor

from fastsr_kernels.backend import backend
from fastsr_kernels.cohort_loss import reference
from fastsr_kernels.cohort_loss.reference import CohortLoss

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
Tensors = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def cohort_loss(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
) -> CohortLoss:
    """All losses on the logits of one cohort, and their gradients, in one launch on a GPU.

    `discriminator_P` and `adversarial_P` are differentiable with regard to the logits, teachers being constants; a
    training step that uses the returned gradients instead saves the multiplications. Nothing else is differentiable.

    Args:
        z_real_PE, z_fake_PE: logits of real and generated images, fp16, bf16 or fp32, finite, |z| <= 1e4, of any
            strides. E is N for one logit an image and N*H*W for a map of logits, and may differ between the two. fp64
            runs in torch.
        mixing_PP: M >= 0 with a zero diagonal; row k weighs the teachers of peer k. A row of zeros gives plain BCE.
        temperature_P: T > 0, softens both sides of the divergence. kl_weight_P: lambda >= 0.
        one_outcome: of the two outcomes, count only the true one in the divergence: "real" of real images, "generated"
            of generated ones. It may then be negative.
    Returns:
        fp32 values (nats) and gradients; fp64 for fp64 logits.
    Raises:
        ValueError: for shapes, dtypes or devices that do not fit. On a CPU also for M < 0, a diagonal that is not zero,
            T <= 0 or lambda < 0; on a GPU looking at values would make the host wait.
    Source: Zhang et al., "Deep mutual learning", CVPR 2018; derivation in README.md.
    """
    check(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P)
    return CohortLoss(
        *operator(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P, one_outcome)
    )


def check(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
) -> None:
    """Raises ValueError, naming the tensor, for shapes, dtypes and devices that do not fit."""
    reference.check_shapes(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P)
    if z_real_PE.dtype != z_fake_PE.dtype or z_real_PE.dtype not in FLOATS:
        raise ValueError(
            "z_real_PE and z_fake_PE must be of one dtype, float16, bfloat16, float32 or float64, got "
            f"{z_real_PE.dtype} and {z_fake_PE.dtype}"
        )
    named = {
        "z_fake_PE": z_fake_PE,
        "mixing_PP": mixing_PP,
        "temperature_P": temperature_P,
        "kl_weight_P": kl_weight_P,
    }
    for name, x in named.items():
        if x.device != z_real_PE.device:
            raise ValueError(
                f"{name} is on {x.device} and z_real_PE on {z_real_PE.device}; move it there"
            )
        if not x.is_floating_point():
            raise ValueError(f"{name} must hold floating point numbers, got {x.dtype}")


def check_values(mixing_PP: Tensor, temperature_P: Tensor, kl_weight_P: Tensor) -> None:
    """Raises ValueError for values out of range. Reads the tensors: only for the CPU."""
    if bool((mixing_PP < 0).any()) or bool(mixing_PP.diagonal().any()):
        raise ValueError(
            f"mixing_PP must be 0 or more, and 0 on its diagonal, got {mixing_PP.tolist()}"
        )
    if not bool((temperature_P > 0).all()):
        raise ValueError(f"temperature_P must be above 0, got {temperature_P.tolist()}")
    if not bool((kl_weight_P >= 0).all()):
        raise ValueError(f"kl_weight_P must be 0 or more, got {kl_weight_P.tolist()}")


@torch.library.custom_op("fastsr::cohort_loss", mutates_args=())
def operator(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
) -> Tensors:
    """Runs the Triton kernel or the reference, whichever the backend of the device is. Checks no shapes."""
    if z_real_PE.device.type == "cpu":
        check_values(mixing_PP, temperature_P, kl_weight_P)
    inputs = (z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P)
    if z_real_PE.dtype != torch.float64 and backend(z_real_PE.device.type) == "triton":
        from fastsr_kernels.cohort_loss import kernel  # imports triton, which not every system has

        return kernel.cohort_loss(*inputs, one_outcome)
    return reference.cohort_loss(*inputs, one_outcome)


@operator.register_fake
def allocate_outputs(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
) -> Tensors:
    """Outputs without values, as torch.compile traces them."""
    dtype = torch.promote_types(z_real_PE.dtype, torch.float32)
    peers = z_real_PE.shape[0]

    def new(*shape: int) -> Tensor:
        return z_real_PE.new_empty(shape, dtype=dtype)

    values = new(peers, 4), new(peers), new(peers)
    return *values, new(*z_real_PE.shape), new(*z_fake_PE.shape), new(*z_fake_PE.shape)


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
    """Saves the gradients that the forward pass computed."""
    terms, _, _, *gradients = output
    ctx.mark_non_differentiable(terms, *gradients)
    ctx.save_for_backward(*gradients)
    ctx.dtype = inputs[0].dtype


def backward(
    ctx: Any, _: Tensor, discriminator_P: Tensor, adversarial_P: Tensor, *__: Tensor
) -> tuple[Tensor, Tensor, None, None, None, None]:
    """Multiplies the saved gradients by those of `discriminator_P` and `adversarial_P`."""
    real_PE, fake_PE, fake_adversarial_PE = ctx.saved_tensors
    real = discriminator_P[:, None] * real_PE
    fake = discriminator_P[:, None] * fake_PE + adversarial_P[:, None] * fake_adversarial_PE
    return real.to(ctx.dtype), fake.to(ctx.dtype), None, None, None, None


operator.register_autograd(backward, setup_context=setup_context)
