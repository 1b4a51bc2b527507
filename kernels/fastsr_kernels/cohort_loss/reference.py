"""Definition of the cohort loss in plain torch: values and closed-form gradients. README.md derives them.

Axes: P peers, E logits of one peer.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus


class CohortLoss(NamedTuple):
    """Values and gradients of every logit-based loss of one cohort, all fp32 (fp64 for fp64 logits).

    Gradients are those of each peer's own loss with regard to its own logits: a teacher receives none.
    """

    terms_P4: Tensor
    """Unweighted terms of each discriminator: BCE on real, BCE on fake, KL on real, KL on fake (nats)."""
    discriminator_P: Tensor
    """L_D of each peer: BCE real + BCE fake + kl_weight * (KL real + KL fake)."""
    adversarial_P: Tensor
    """The generator's adversarial term of each peer, mean softplus(-z_fake), unweighted."""
    grad_real_PE: Tensor
    """dL_D / dz_real."""
    grad_fake_PE: Tensor
    """dL_D / dz_fake."""
    grad_adversarial_PE: Tensor
    """d adversarial / dz_fake."""


def peer_kl(z_PE: Tensor, mixing_PP: Tensor, temperature_P: Tensor) -> tuple[Tensor, Tensor]:
    """Softened KL divergence from each peer to its teachers, and its gradient.

    KL_k = T_k^2 * sum_j M[k,j] * mean_e KL( Bern(sigma(z_j/T_k)) || Bern(sigma(z_k/T_k)) ), with z_j constant.

    Args:
        z_PE: logits. mixing_PP: M, row k weighs the teachers of peer k. temperature_P: T > 0.
    Returns:
        KL_P in nats, and dKL_k/dz_k as `[P, E]`.
    Source: Zhang et al., "Deep mutual learning", CVPR 2018; T^2 after Hinton et al., 2015.
    """
    student_P1E = (z_PE / temperature_P[:, None])[:, None]
    teacher_PPE = z_PE[None] / temperature_P[:, None, None]
    # KL(p||q) = p * (ln p - ln q) + (1-p) * (ln(1-p) - ln(1-q)) with ln sigma(u) = -softplus(-u). Both differences
    # are bounded by |u - v|, and each is multiplied by a probability that vanishes where it could grow.
    log_ratio_one = softplus(-student_P1E) - softplus(-teacher_PPE)
    log_ratio_zero = softplus(student_P1E) - softplus(teacher_PPE)
    kl_PPE = (
        torch.sigmoid(teacher_PPE) * log_ratio_one + torch.sigmoid(-teacher_PPE) * log_ratio_zero
    )
    kl_PP = kl_PPE.clamp(min=0).mean(-1)
    grad_PPE = torch.sigmoid(student_P1E) - torch.sigmoid(teacher_PPE)
    # sigma(u) - sigma(v) cancels where both are close to 1; there the difference of sigma(-v) - sigma(-u) does not.
    grad_PPE = torch.where(
        student_P1E > 0, torch.sigmoid(-teacher_PPE) - torch.sigmoid(-student_P1E), grad_PPE
    )
    value_P = temperature_P.square() * (mixing_PP * kl_PP).sum(1)
    grad_PE = (temperature_P / z_PE.shape[1])[:, None] * (mixing_PP[:, :, None] * grad_PPE).sum(1)
    return value_P, grad_PE


def peer_kl_of_one_outcome(
    z_PE: Tensor, mixing_PP: Tensor, temperature_P: Tensor
) -> tuple[Tensor, Tensor]:
    """The share of that divergence that the first of the two outcomes has, and its gradient.

    KL_k = T_k^2 * sum_j M[k,j] * mean_e p_j (ln p_j - ln p_k) with p = sigma(z/T_k) and z_j constant, of either sign.

    Arguments and results as `peer_kl`. Source: `KLDivergence` of Keras on probabilities of shape `[N, 1]`.
    """
    student_P1E = (z_PE / temperature_P[:, None])[:, None]
    teacher_PPE = z_PE[None] / temperature_P[:, None, None]
    p_PPE = torch.sigmoid(teacher_PPE)
    kl_PP = (p_PPE * (softplus(-student_P1E) - softplus(-teacher_PPE))).mean(-1)
    grad_PPE = -p_PPE * torch.sigmoid(-student_P1E)
    value_P = temperature_P.square() * (mixing_PP * kl_PP).sum(1)
    grad_PE = (temperature_P / z_PE.shape[1])[:, None] * (mixing_PP[:, :, None] * grad_PPE).sum(1)
    return value_P, grad_PE


def cohort_loss(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
) -> CohortLoss:
    """All losses on logits of one cohort, forward and backward in one call. Not differentiable itself.

    Args:
        z_real_PE, z_fake_PE: logits of real and generated images, fp16, bf16, fp32 or fp64, finite, |z| <= 1e4;
            E is N for a one-logit discriminator and N*H*W for a logit map. Both may differ in E.
        mixing_PP: M >= 0 with a zero diagonal. Zero rows give plain BCE.
        temperature_P: T > 0. kl_weight_P: lambda >= 0.
        one_outcome: of the two outcomes, count only the true one in the divergence: "real" of real images, "generated"
            of generated ones.
    Raises:
        ValueError: for shapes that do not fit. Values are not checked: that would read the device.
    Source: README.md, which derives the closed form.
    """
    check_shapes(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P)
    real, fake = (at_least_fp32(z_PE.detach()).contiguous() for z_PE in (z_real_PE, z_fake_PE))
    mixing, temperature, weight = (
        x.to(real.dtype) for x in (mixing_PP, temperature_P, kl_weight_P)
    )
    if one_outcome:
        kl_real, grad_kl_real = peer_kl_of_one_outcome(real, mixing, temperature)
        kl_fake, grad_of_negated = peer_kl_of_one_outcome(-fake, mixing, temperature)
        grad_kl_fake = -grad_of_negated
    else:
        kl_real, grad_kl_real = peer_kl(real, mixing, temperature)
        kl_fake, grad_kl_fake = peer_kl(fake, mixing, temperature)
    bce_real, bce_fake = softplus(-real).mean(1), softplus(fake).mean(1)
    return CohortLoss(
        terms_P4=torch.stack([bce_real, bce_fake, kl_real, kl_fake], 1),
        discriminator_P=bce_real + bce_fake + weight * (kl_real + kl_fake),
        adversarial_P=softplus(-fake).mean(1),
        grad_real_PE=-torch.sigmoid(-real) / real.shape[1] + weight[:, None] * grad_kl_real,
        grad_fake_PE=torch.sigmoid(fake) / fake.shape[1] + weight[:, None] * grad_kl_fake,
        grad_adversarial_PE=-torch.sigmoid(-fake) / fake.shape[1],
    )


def at_least_fp32(x: Tensor) -> Tensor:
    """fp16 and bf16 as fp32, wider dtypes unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def check_shapes(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
) -> None:
    """Raises ValueError, naming the tensor, where shapes do not fit."""
    if z_real_PE.ndim != 2 or z_fake_PE.ndim != 2 or z_real_PE.shape[0] != z_fake_PE.shape[0]:
        raise ValueError(
            "z_real_PE and z_fake_PE must be [peers, logits] with the same number of peers, got "
            f"{tuple(z_real_PE.shape)} and {tuple(z_fake_PE.shape)}"
        )
    if 0 in z_real_PE.shape or 0 in z_fake_PE.shape:
        raise ValueError("z_real_PE and z_fake_PE must hold at least one peer and one logit")
    peers = z_real_PE.shape[0]
    for name, x, shape in (
        ("mixing_PP", mixing_PP, (peers, peers)),
        ("temperature_P", temperature_P, (peers,)),
        ("kl_weight_P", kl_weight_P, (peers,)),
    ):
        if tuple(x.shape) != shape:
            raise ValueError(
                f"{name} must have shape {shape} for {peers} peers, got {tuple(x.shape)}"
            )
