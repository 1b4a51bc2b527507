"""The cohort loss in one Triton launch, forward and backward. reference.py defines it, README.md derives the formulas.

Axes: P peers, E logits of one peer. A tile has R rows, P rounded up to a power of two (rows beyond P repeat the last
peer and are never stored), and B logits of each; suffix 1 is a broadcast axis, K counts programs.
Pointers have the name of the tensor they point to. Names of outcomes: one is "real", zero is "generated".
"""
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false
# Triton's language has no types.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastsr_kernels.cohort_loss.divergence import (
    kl_divergence,
    kl_of_one_outcome,
    sigmoid_and_softplus,
)
from fastsr_kernels.cohort_loss.reference import CohortLoss
from fastsr_kernels.launch import Launch

TILE = 1024  # logits of all peers in one tile, 4 a thread
MAX_PROGRAMS = 2048
SUMS = tl.constexpr(5)  # of each peer: BCE real, KL real, BCE fake, KL fake, adversarial
CHUNK = tl.constexpr(1024)  # partial sums of one kind that the last program loads at once
REGISTERS = 128  # of a thread at most: two programs of 8 warps share a multiprocessor


@triton.jit
def loss_of_logits(
    z_PE, stride_p, stride_e, E, inverse_E, grad_PE, grad_adversarial_PE, mixing_PP, temperature_R, kl_weight_R,
    peer_R, row_R, has_teachers, REAL: tl.constexpr, ONE_OUTCOME: tl.constexpr, P: tl.constexpr, R: tl.constexpr,
    B: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of the logits on real or on generated images. Returns this program's share of the means."""
    bce_R = tl.zeros((R,), tl.float32)
    kl_R = tl.zeros((R,), tl.float32)
    adversarial_R = tl.zeros((R,), tl.float32)
    for first in range(tl.program_id(0) * B, E, tl.num_programs(0) * B):
        e_B = (first + tl.arange(0, B)).to(tl.int64)
        valid_B, valid_1B = e_B < E, (e_B < E)[None, :]
        z_offset_RB = peer_R[:, None].to(tl.int64) * stride_p + e_B[None, :] * stride_e
        z_RB = tl.load(z_PE + z_offset_RB, mask=valid_1B, other=0.0).to(tl.float32)
        sigmoid, softplus = sigmoid_and_softplus(z_RB)
        bce_zero_RB, bce_one_RB = softplus + tl.maximum(z_RB, 0.0), softplus - tl.minimum(z_RB, 0.0)
        grad_one_RB = tl.where(z_RB > 0, -sigmoid, sigmoid - 1.0)  # of bce_one: -sigma(-z)
        if has_teachers:
            if ONE_OUTCOME:
                kl_RB, grad_kl_RB = kl_of_one_outcome(
                    z_RB, z_PE, stride_p, e_B * stride_e, valid_B, mixing_PP, temperature_R, peer_R,
                    1 if REAL else -1, P,
                )  # fmt: skip
            else:
                kl_RB, grad_kl_RB = kl_divergence(
                    z_RB,
                    z_PE,
                    stride_p,
                    e_B * stride_e,
                    valid_B,
                    mixing_PP,
                    temperature_R,
                    peer_R,
                    P,
                    R,
                    B,
                )
        else:
            kl_RB, grad_kl_RB = tl.zeros((R, B), tl.float32), tl.zeros((R, B), tl.float32)
        offset_RB = row_R[:, None].to(tl.int64) * E + e_B[None, :]
        stored_RB = (row_R < P)[:, None] & valid_1B
        if REAL:
            bce_RB, grad_bce_RB = bce_one_RB, grad_one_RB
        else:
            bce_RB, grad_bce_RB = bce_zero_RB, tl.where(z_RB > 0, 1.0 - sigmoid, sigmoid)
            tl.store(grad_adversarial_PE + offset_RB, grad_one_RB * inverse_E, mask=stored_RB)
            adversarial_R += tl.sum(tl.where(valid_1B, bce_one_RB, 0.0), 1)
        tl.store(
            grad_PE + offset_RB,
            (grad_bce_RB + kl_weight_R[:, None] * grad_kl_RB) * inverse_E,
            mask=stored_RB,
        )
        bce_R += tl.sum(tl.where(valid_1B, bce_RB, 0.0), 1)
        kl_R += tl.sum(tl.where(valid_1B, kl_RB, 0.0), 1)
    return bce_R * inverse_E, kl_R * inverse_E, adversarial_R * inverse_E


@triton.jit
def sum_over_programs(partial, kind: tl.constexpr, programs, R: tl.constexpr):
    """One kind of sum of each peer over all programs, added in the same order every time."""
    CHUNK_K: tl.constexpr = CHUNK // R
    sums_KR = tl.zeros((CHUNK_K, R), tl.float32)
    for first in range(0, programs, CHUNK_K):
        program_K1 = (first + tl.arange(0, CHUNK_K))[:, None]
        offset_KR = (program_K1 * SUMS + kind) * R + tl.arange(0, R)[None, :]
        sums_KR += tl.load(partial + offset_KR, mask=program_K1 < programs, other=0.0)
    return tl.sum(sums_KR, 0)


@triton.jit
def store_losses(
    bce_real_R, kl_real_R, bce_fake_R, kl_fake_R, adversarial_R, kl_weight_R, row_R, terms_P4, discriminator_P,
    adversarial_P, P: tl.constexpr,
):  # fmt: skip
    """Writes the losses of each peer."""
    stored_R = row_R < P
    tl.store(terms_P4 + row_R * 4, bce_real_R, mask=stored_R)
    tl.store(terms_P4 + row_R * 4 + 1, bce_fake_R, mask=stored_R)
    tl.store(terms_P4 + row_R * 4 + 2, kl_real_R, mask=stored_R)
    tl.store(terms_P4 + row_R * 4 + 3, kl_fake_R, mask=stored_R)
    tl.store(
        discriminator_P + row_R,
        bce_real_R + bce_fake_R + kl_weight_R * (kl_real_R + kl_fake_R),
        mask=stored_R,
    )
    tl.store(adversarial_P + row_R, adversarial_R, mask=stored_R)


@triton.jit
def cohort_loss_kernel(
    z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P, terms_P4, discriminator_P, adversarial_P,
    grad_real_PE, grad_fake_PE, grad_adversarial_PE, partial, arrived, real_stride_p, real_stride_e, fake_stride_p,
    fake_stride_e, E_real, E_fake, inverse_real, inverse_fake, ONE_OUTCOME: tl.constexpr, P: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Each program takes every so many tiles of both sets of logits; the last to finish sums over all programs."""
    row_R = tl.arange(0, R)
    peer_R = tl.minimum(row_R, P - 1)
    temperature_R, kl_weight_R = tl.load(temperature_P + peer_R), tl.load(kl_weight_P + peer_R)
    has_teachers = tl.sum(tl.load(mixing_PP + peer_R[:, None] * P + peer_R[None, :])) > 0
    bce_real_R, kl_real_R, _ = loss_of_logits(
        z_real_PE, real_stride_p, real_stride_e, E_real, inverse_real, grad_real_PE, grad_adversarial_PE, mixing_PP,
        temperature_R, kl_weight_R, peer_R, row_R, has_teachers, True, ONE_OUTCOME, P, R, B,
    )  # fmt: skip
    bce_fake_R, kl_fake_R, adversarial_R = loss_of_logits(
        z_fake_PE, fake_stride_p, fake_stride_e, E_fake, inverse_fake, grad_fake_PE, grad_adversarial_PE, mixing_PP,
        temperature_R, kl_weight_R, peer_R, row_R, has_teachers, False, ONE_OUTCOME, P, R, B,
    )  # fmt: skip
    if arrived is None:
        store_losses(
            bce_real_R, kl_real_R, bce_fake_R, kl_fake_R, adversarial_R, kl_weight_R, row_R, terms_P4,
            discriminator_P, adversarial_P, P,
        )  # fmt: skip
    else:
        programs = tl.num_programs(0)
        own = partial + tl.program_id(0) * SUMS * R + row_R
        tl.store(own, bce_real_R)
        tl.store(own + R, kl_real_R)
        tl.store(own + 2 * R, bce_fake_R)
        tl.store(own + 3 * R, kl_fake_R)
        tl.store(own + 4 * R, adversarial_R)
        tl.debug_barrier()  # all threads have stored before one of them increments the counter, with release semantics
        if tl.atomic_add(arrived, 1, sem="acq_rel") == programs - 1:
            tl.debug_barrier()
            store_losses(
                sum_over_programs(partial, 0, programs, R), sum_over_programs(partial, 1, programs, R),
                sum_over_programs(partial, 2, programs, R), sum_over_programs(partial, 3, programs, R),
                sum_over_programs(partial, 4, programs, R), kl_weight_R, row_R, terms_P4, discriminator_P,
                adversarial_P, P,
            )  # fmt: skip


def tile_shape(peers: int, logits: int) -> tuple[int, int, int]:
    """Rows R, logits B and warps of a tile for this many peers and logits: powers of two."""
    rows = triton.next_power_of_2(peers)
    width = max(min(triton.next_power_of_2(logits), TILE // rows), 16)
    return rows, width, max(1, min(8, rows * width // 128))


def plan(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
    width: int | None = None,
) -> tuple[Launch, CohortLoss]:
    """The launch, and the tensors that it will fill. `width` overrides B, the logits of each peer in a tile."""
    peers, real, fake = z_real_PE.shape[0], z_real_PE.shape[1], z_fake_PE.shape[1]
    rows, chosen, warps = tile_shape(peers, max(real, fake))
    width = width or chosen
    programs = min(triton.cdiv(max(real, fake), width), MAX_PROGRAMS)

    def new(*shape: int) -> Tensor:
        return z_real_PE.new_empty(shape, dtype=torch.float32)

    loss = CohortLoss(
        new(peers, 4), new(peers), new(peers), new(peers, real), new(peers, fake), new(peers, fake)
    )
    arguments: dict[str, Any] = {
        "z_real_PE": z_real_PE,
        "z_fake_PE": z_fake_PE,
        "mixing_PP": mixing_PP.float().contiguous(),
        "temperature_P": temperature_P.float().contiguous(),
        "kl_weight_P": kl_weight_P.float().contiguous(),
        "terms_P4": loss.terms_P4,
        "discriminator_P": loss.discriminator_P,
        "adversarial_P": loss.adversarial_P,
        "grad_real_PE": loss.grad_real_PE,
        "grad_fake_PE": loss.grad_fake_PE,
        "grad_adversarial_PE": loss.grad_adversarial_PE,
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
        "ONE_OUTCOME": one_outcome,
        "P": peers,
        "R": rows,
        "B": width,
    }
    options = {"num_warps": warps, "maxnreg": REGISTERS, "enable_fp_fusion": True}
    return Launch(cohort_loss_kernel, (programs,), arguments, options, z_real_PE.device), loss


def cohort_loss(
    z_real_PE: Tensor,
    z_fake_PE: Tensor,
    mixing_PP: Tensor,
    temperature_P: Tensor,
    kl_weight_P: Tensor,
    one_outcome: bool = False,
) -> CohortLoss:
    """The kernel's `reference.cohort_loss`, for fp16, bf16 and fp32 logits of any strides."""
    launch, loss = plan(z_real_PE, z_fake_PE, mixing_PP, temperature_P, kl_weight_P, one_outcome)
    launch.run()
    return loss
