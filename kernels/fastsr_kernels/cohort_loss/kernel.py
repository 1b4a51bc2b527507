"""The cohort loss in one Triton launch, forward and backward. What it computes is in reference.py, why in README.md.

Axes: P peers, E logits of one peer. A tile has R peers, P rounded up to a power of two (the rest repeat the last peer
and are never stored), and B logits of each.
"""
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false
# Triton's language has no types.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastsr_kernels.cohort_loss.reference import CohortLoss
from fastsr_kernels.launch import Launch

TILE = 1024  # logits of all peers that a program holds at once, 4 a thread
MOST_PROGRAMS = 2048
SUMS = tl.constexpr(5)  # of each peer: BCE real, KL real, BCE fake, KL fake, adversarial
CHUNK = tl.constexpr(1024)  # partial sums of one kind that the last program holds at once
REGISTERS = 128  # of a thread at most: two programs of 8 warps share a multiprocessor


@triton.jit
def logistic(u):
    """sigma(-|u|) and softplus(-|u|), each exact relative to its own size."""
    e = tl.exp(-tl.abs(u))
    # log1p(e) = 2 artanh(s) with s = e / (2 + e) <= 1/3. A GPU's logarithm loses its digits near one.
    s = e / (2.0 + e)
    t = s * s
    series = 1 / 13 + t * (1 / 15 + t * (1 / 17))
    series = 1 / 7 + t * (1 / 9 + t * (1 / 11 + t * series))
    series = 1.0 + t * (1 / 3 + t * (1 / 5 + t * series))
    return e / (1.0 + e), 2.0 * s * series


@triton.jit
def teach(p_RB, q_RB, entropy_RB, weight_R, v):
    """Adds a teacher's probabilities of "real" (p) and "generated" (q) and its entropy to its students' sums."""
    small, soft = logistic(v)
    weight_R1 = weight_R[:, None]
    p_RB += weight_R1 * tl.where(v > 0, 1.0 - small, small)
    q_RB += weight_R1 * tl.where(v > 0, small, 1.0 - small)
    entropy_RB += weight_R1 * (soft + tl.abs(v) * small)
    return p_RB, q_RB, entropy_RB


@triton.jit
def divergence(z_RB, z, stride_p, offset_B, valid_B, mixing, temperature_R, peer_R, P: tl.constexpr):
    """KL divergence of every logit of a tile from its teachers', and its gradient."""
    p_RB, q_RB, entropy_RB = z_RB * 0, z_RB * 0, z_RB * 0
    total_R = temperature_R * 0
    hottest = tl.max(temperature_R)
    one_temperature = tl.min(temperature_R) == hottest
    teacher = z
    for j in range(P):
        weight_R = tl.load(mixing + peer_R * P + j)
        total_R += weight_R
        if tl.sum(weight_R) > 0:
            v_B = tl.load(teacher + offset_B, mask=valid_B, other=0.0).to(tl.float32)
            if one_temperature:
                v_1B = (v_B / hottest)[None, :]
                p_RB, q_RB, entropy_RB = teach(p_RB, q_RB, entropy_RB, weight_R, v_1B)
            else:
                v_RB = v_B[None, :] / temperature_R[:, None]
                p_RB, q_RB, entropy_RB = teach(p_RB, q_RB, entropy_RB, weight_R, v_RB)
        teacher += stride_p
    temperature_R1, total_R1 = temperature_R[:, None], total_R[:, None]
    u_RB = z_RB / temperature_R1
    small, soft = logistic(u_RB)
    # Cross entropy less entropy. Of p and q, the one that does not cancel against the student's own.
    kl_RB = total_R1 * soft + tl.abs(u_RB) * tl.where(u_RB > 0, q_RB, p_RB) - entropy_RB
    gradient_RB = tl.where(u_RB > 0, q_RB - total_R1 * small, total_R1 * small - p_RB)
    return tl.maximum(kl_RB, 0.0) * temperature_R1 * temperature_R1, gradient_RB * temperature_R1


@triton.jit
def one_map(
    z, stride_p, stride_e, E, inverse_E, gradient, gradient_adversarial, mixing, temperature_R, weight_R, peer_R, row_R,
    distils, REAL: tl.constexpr, P: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of the logits on real or on generated images. Returns sums of BCE, KL and adversarial."""
    bce_R, kl_R, adversarial_R = temperature_R * 0, temperature_R * 0, temperature_R * 0
    for first in range(tl.program_id(0) * B, E, tl.num_programs(0) * B):
        e_B = (first + tl.arange(0, B)).to(tl.int64)
        valid_B, valid_1B = e_B < E, (e_B < E)[None, :]
        at_RB = peer_R[:, None].to(tl.int64) * stride_p + e_B[None, :] * stride_e
        z_RB = tl.load(z + at_RB, mask=valid_1B, other=0.0).to(tl.float32)
        small, soft = logistic(z_RB)
        positive, negative = soft + tl.maximum(z_RB, 0.0), soft - tl.minimum(z_RB, 0.0)  # softplus of z and of -z
        pull_RB = tl.where(z_RB > 0, -small, small - 1.0)  # of "real", -sigma(-z)
        if distils:
            kl_RB, gradient_RB = divergence(
                z_RB, z, stride_p, e_B * stride_e, valid_B, mixing, temperature_R, peer_R, P
            )
        else:
            kl_RB, gradient_RB = z_RB * 0, z_RB * 0
        out_RB = row_R[:, None].to(tl.int64) * E + e_B[None, :]
        stored = (row_R < P)[:, None] & valid_1B
        if REAL:
            bce_RB, push_RB = negative, pull_RB
        else:
            bce_RB, push_RB = positive, tl.where(z_RB > 0, 1.0 - small, small)
            tl.store(gradient_adversarial + out_RB, pull_RB * inverse_E, mask=stored)
            adversarial_R += tl.sum(tl.where(valid_1B, negative, 0.0), 1)
        tl.store(gradient + out_RB, (push_RB + weight_R[:, None] * gradient_RB) * inverse_E, mask=stored)
        bce_R += tl.sum(tl.where(valid_1B, bce_RB, 0.0), 1)
        kl_R += tl.sum(tl.where(valid_1B, kl_RB, 0.0), 1)
    return bce_R * inverse_E, kl_R * inverse_E, adversarial_R * inverse_E


@triton.jit
def partial_sums(partial, sums: tl.constexpr, programs, R: tl.constexpr):
    """One kind of sum of each peer over all programs, added in the same order every time."""
    CHUNK_R: tl.constexpr = CHUNK // R
    sums_KR = tl.zeros((CHUNK_R, R), tl.float32)
    for first in range(0, programs, CHUNK_R):
        program_K1 = (first + tl.arange(0, CHUNK_R))[:, None]
        at_KR = (program_K1 * SUMS + sums) * R + tl.arange(0, R)[None, :]
        sums_KR += tl.load(partial + at_KR, mask=program_K1 < programs, other=0.0)
    return tl.sum(sums_KR, 0)


@triton.jit
def finish(
    bce_real, kl_real, bce_fake, kl_fake, adversarial, weight_R, row_R, terms, total, generator, P: tl.constexpr
):
    """Writes the values of each peer."""
    stored = row_R < P
    tl.store(terms + row_R * 4, bce_real, mask=stored)
    tl.store(terms + row_R * 4 + 1, bce_fake, mask=stored)
    tl.store(terms + row_R * 4 + 2, kl_real, mask=stored)
    tl.store(terms + row_R * 4 + 3, kl_fake, mask=stored)
    tl.store(total + row_R, bce_real + bce_fake + weight_R * (kl_real + kl_fake), mask=stored)
    tl.store(generator + row_R, adversarial, mask=stored)


@triton.jit
def cohort_loss_kernel(
    real, fake, mixing, temperature, weight, terms, total, generator, gradient_real, gradient_fake,
    gradient_adversarial, partial, arrived, real_stride_p, real_stride_e, fake_stride_p, fake_stride_e, E_real, E_fake,
    inverse_real, inverse_fake, P: tl.constexpr, R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Each program takes every so many tiles of both maps; the last one to be done adds up what all have found."""
    row_R = tl.arange(0, R)
    peer_R = tl.minimum(row_R, P - 1)
    temperature_R, weight_R = tl.load(temperature + peer_R), tl.load(weight + peer_R)
    distils = tl.sum(tl.load(mixing + peer_R[:, None] * P + peer_R[None, :])) > 0
    bce_real, kl_real, _ = one_map(
        real, real_stride_p, real_stride_e, E_real, inverse_real, gradient_real, gradient_adversarial, mixing,
        temperature_R, weight_R, peer_R, row_R, distils, True, P, B,
    )  # fmt: skip
    bce_fake, kl_fake, adversarial = one_map(
        fake, fake_stride_p, fake_stride_e, E_fake, inverse_fake, gradient_fake, gradient_adversarial, mixing,
        temperature_R, weight_R, peer_R, row_R, distils, False, P, B,
    )  # fmt: skip
    if arrived is None:
        finish(bce_real, kl_real, bce_fake, kl_fake, adversarial, weight_R, row_R, terms, total, generator, P)
    else:
        programs = tl.num_programs(0)
        mine = partial + tl.program_id(0) * SUMS * R + row_R
        tl.store(mine, bce_real)
        tl.store(mine + R, kl_real)
        tl.store(mine + 2 * R, bce_fake)
        tl.store(mine + 3 * R, kl_fake)
        tl.store(mine + 4 * R, adversarial)
        tl.debug_barrier()  # all threads have stored before one of them says so, releasing what it has seen
        if tl.atomic_add(arrived, 1, sem="acq_rel") == programs - 1:
            tl.debug_barrier()
            finish(
                partial_sums(partial, 0, programs, R), partial_sums(partial, 1, programs, R),
                partial_sums(partial, 2, programs, R), partial_sums(partial, 3, programs, R),
                partial_sums(partial, 4, programs, R), weight_R, row_R, terms, total, generator, P,
            )  # fmt: skip


def tile(peers: int, logits: int) -> tuple[int, int, int]:
    """R, B and warps for so many peers and logits: powers of two."""
    rows = triton.next_power_of_2(peers)
    width = max(min(triton.next_power_of_2(logits), TILE // rows), 16)
    return rows, width, max(1, min(8, rows * width // 128))


def plan(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    width: int | None = None,
) -> tuple[Launch, CohortLoss]:
    """The launch, and the tensors that it will fill."""
    peers, real, fake = z_real_PE.shape[0], z_real_PE.shape[1], z_fake_PE.shape[1]
    rows, chosen, warps = tile(peers, max(real, fake))
    width = width or chosen
    programs = min(triton.cdiv(max(real, fake), width), MOST_PROGRAMS)

    def new(*shape: int) -> Tensor:
        return z_real_PE.new_empty(shape, dtype=torch.float32)

    loss = CohortLoss(new(peers, 4), new(peers), new(peers), new(peers, real), new(peers, fake), new(peers, fake))
    arguments: dict[str, Any] = {
        "real": z_real_PE,
        "fake": z_fake_PE,
        "mixing": mixing_PP.float().contiguous(),
        "temperature": temperature_P.float().contiguous(),
        "weight": kl_weight_P.float().contiguous(),
        "terms": loss.terms_P4,
        "total": loss.discriminator_P,
        "generator": loss.adversarial_P,
        "gradient_real": loss.grad_real_PE,
        "gradient_fake": loss.grad_fake_PE,
        "gradient_adversarial": loss.grad_adversarial_PE,
        "partial": new(programs, SUMS.value, rows),
        "arrived": z_real_PE.new_zeros((), dtype=torch.int32) if programs > 1 else None,
        "real_stride_p": z_real_PE.stride(0),
        "real_stride_e": z_real_PE.stride(1),
        "fake_stride_p": z_fake_PE.stride(0),
        "fake_stride_e": z_fake_PE.stride(1),
        "E_real": real,
        "E_fake": fake,
        "inverse_real": 1 / real,
        "inverse_fake": 1 / fake,
        "P": peers,
        "R": rows,
        "B": width,
    }
    options = {"num_warps": warps, "maxnreg": REGISTERS, "enable_fp_fusion": True}
    return Launch(cohort_loss_kernel, (programs,), arguments, options, z_real_PE.device), loss


def cohort_loss(
    z_real_PE: Tensor, z_fake_PE: Tensor, mixing_PP: Tensor, temperature_P: Tensor, kl_weight_P: Tensor
) -> CohortLoss:
    """The kernel's `reference.cohort_loss`, for fp16, bf16 and fp32 logits of any strides."""
    launch, loss = plan(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P)
    launch.run()
    return loss
