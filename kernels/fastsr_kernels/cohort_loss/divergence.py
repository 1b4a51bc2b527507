"""The divergence of logits from their teachers, for the kernel of the cohort loss.

Axes: a tile has R peers and B logits of each.
"""
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false
# Triton's language has no types.

import triton
import triton.language as tl


@triton.jit
def sigmoid_and_softplus(u):
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
def add_teacher(p_one_RB, p_zero_RB, entropy_RB, weight_R, v):
    """Adds the weighted probabilities and entropy of one teacher, whose logits over temperature are v."""
    sigmoid, softplus = sigmoid_and_softplus(v)
    weight_R1 = weight_R[:, None]
    p_one_RB += weight_R1 * tl.where(v > 0, 1.0 - sigmoid, sigmoid)
    p_zero_RB += weight_R1 * tl.where(v > 0, sigmoid, 1.0 - sigmoid)
    entropy_RB += weight_R1 * (softplus + tl.abs(v) * sigmoid)
    return p_one_RB, p_zero_RB, entropy_RB


@triton.jit
def add_teacher_of_one_outcome(p_one_RB, negative_RB, weight_R, v):
    """Adds the weighted probability of one teacher, whose logits over temperature are v, and its p ln p."""
    sigmoid, softplus = sigmoid_and_softplus(v)
    p_RB = weight_R[:, None] * tl.where(v > 0, 1.0 - sigmoid, sigmoid)
    return p_one_RB + p_RB, negative_RB + p_RB * (softplus - tl.minimum(v, 0.0))


@triton.jit
def kl_of_one_outcome(
    z_RB, z_PE, stride_p, offset_B, valid_B, mixing_PP, temperature_R, peer_R, SIGN: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """The share of the divergence of the outcome whose logit is SIGN * z, and its gradient with regard to the logit."""
    p_one_RB, negative_RB = z_RB * 0, z_RB * 0
    teacher_E = z_PE
    for j in range(P):
        weight_R = tl.load(mixing_PP + peer_R * P + j)
        if tl.sum(weight_R) > 0:
            z_B = SIGN * tl.load(teacher_E + offset_B, mask=valid_B, other=0.0).to(tl.float32)
            v_RB = z_B[None, :] / temperature_R[:, None]
            p_one_RB, negative_RB = add_teacher_of_one_outcome(
                p_one_RB, negative_RB, weight_R, v_RB
            )
        teacher_E += stride_p
    temperature_R1 = temperature_R[:, None]
    u_RB = SIGN * z_RB / temperature_R1
    sigmoid, softplus = sigmoid_and_softplus(u_RB)
    kl_RB = p_one_RB * (softplus - tl.minimum(u_RB, 0.0)) - negative_RB
    grad_RB = -p_one_RB * tl.where(u_RB > 0, sigmoid, 1.0 - sigmoid)
    return kl_RB * temperature_R1 * temperature_R1, SIGN * grad_RB * temperature_R1


@triton.jit
def kl_divergence(
    z_RB, z_PE, stride_p, offset_B, valid_B, mixing_PP, temperature_R, peer_R,
    P: tl.constexpr, R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """KL divergence of each logit of a tile from its teachers, and the gradient with regard to the logit."""
    # Not tl.zeros: Triton 3.8 gives a constant another layout than z. Converting it costs a thread up to 23 registers,
    # and a program 4 KiB of shared memory.
    zeros_RB = z_RB * 0
    p_one_RB, p_zero_RB, entropy_RB = zeros_RB, zeros_RB, zeros_RB
    mixing_sum_R = tl.zeros((R,), tl.float32)
    max_temperature = tl.max(temperature_R)
    is_shared = tl.min(temperature_R) == max_temperature
    teacher_E = z_PE
    for j in range(P):
        weight_R = tl.load(mixing_PP + peer_R * P + j)
        mixing_sum_R += weight_R
        if tl.sum(weight_R) > 0:
            z_B = tl.load(teacher_E + offset_B, mask=valid_B, other=0.0).to(tl.float32)
            if is_shared:
                v_1B = (z_B / max_temperature)[None, :]
                p_one_RB, p_zero_RB, entropy_RB = add_teacher(
                    p_one_RB, p_zero_RB, entropy_RB, weight_R, v_1B
                )
            else:
                v_RB = z_B[None, :] / temperature_R[:, None]
                p_one_RB, p_zero_RB, entropy_RB = add_teacher(
                    p_one_RB, p_zero_RB, entropy_RB, weight_R, v_RB
                )
        teacher_E += stride_p
    temperature_R1, mixing_sum_R1 = temperature_R[:, None], mixing_sum_R[:, None]
    u_RB = z_RB / temperature_R1
    sigmoid, softplus = sigmoid_and_softplus(u_RB)
    # Cross entropy minus entropy, in terms of the outcome whose probability does not cancel against the student's.
    kl_RB = (
        mixing_sum_R1 * softplus
        + tl.abs(u_RB) * tl.where(u_RB > 0, p_zero_RB, p_one_RB)
        - entropy_RB
    )
    grad_RB = tl.where(
        u_RB > 0, p_zero_RB - mixing_sum_R1 * sigmoid, mixing_sum_R1 * sigmoid - p_one_RB
    )
    return tl.maximum(kl_RB, 0.0) * temperature_R1 * temperature_R1, grad_RB * temperature_R1
