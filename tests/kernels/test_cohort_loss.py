"""The cohort loss against float64 autograd, finite differences, and what must hold whatever the numbers."""

import pytest
import torch
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, logsigmoid

SHAPES = [(1, 1), (1, 7), (2, 1), (2, 16), (3, 63), (5, 1000), (8, 37 * 41)]
TERMS = ("bce_real", "bce_fake", "kl_real", "kl_fake")


def mutual(peers: int) -> Tensor:
    return (torch.ones(peers, peers) - torch.eye(peers)) / max(peers - 1, 1)


def drawn(peers: int, logits: int, size: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z_real, z_fake = size * torch.randn(2, peers, logits, generator=generator)
    mixing = torch.rand(peers, peers, generator=generator) * (1 - torch.eye(peers))
    temperature = 0.5 + 4 * torch.rand(peers, generator=generator)
    weight = torch.rand(peers, generator=generator) + 0.1
    return z_real, z_fake, mixing, temperature, weight


def by_definition(z_PE: Tensor, mixing: Tensor, temperature: Tensor) -> Tensor:
    """KL per peer in float64, from torch's own kl_div over the two outcomes, teachers detached."""
    rows = []
    for k in range(z_PE.shape[0]):
        total = torch.zeros((), dtype=torch.float64)
        for j in range(z_PE.shape[0]):
            u, v = z_PE[k] / temperature[k], (z_PE[j] / temperature[k]).detach()
            student = torch.stack([logsigmoid(u), logsigmoid(-u)])
            teacher = torch.stack([logsigmoid(v), logsigmoid(-v)])
            total = total + mixing[k, j] * kl_div(student, teacher, log_target=True, reduction="none").sum(0).mean()
        rows.append(temperature[k] ** 2 * total)
    return torch.stack(rows)


def autograd_reference(
    z_real: Tensor, z_fake: Tensor, mixing: Tensor, temperature: Tensor, weight: Tensor
) -> CohortLoss:
    real, fake = (z.double().detach().requires_grad_() for z in (z_real, z_fake))
    mixing, temperature, weight = mixing.double(), temperature.double(), weight.double()
    bce_real = binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="none").mean(1)
    bce_fake = binary_cross_entropy_with_logits(fake, torch.zeros_like(fake), reduction="none").mean(1)
    kl_real, kl_fake = by_definition(real, mixing, temperature), by_definition(fake, mixing, temperature)
    total = bce_real + bce_fake + weight * (kl_real + kl_fake)
    adversarial = binary_cross_entropy_with_logits(fake, torch.ones_like(fake), reduction="none").mean(1)
    grad_real, grad_fake = torch.autograd.grad(total.sum(), [real, fake], retain_graph=True)
    (grad_adversarial,) = torch.autograd.grad(adversarial.sum(), fake)
    terms = torch.stack([bce_real, bce_fake, kl_real, kl_fake], 1)
    return CohortLoss(*(x.detach() for x in (terms, total, adversarial, grad_real, grad_fake, grad_adversarial)))


def assert_close(got: CohortLoss, want: CohortLoss, tolerance: float) -> None:
    """Compares each value and each gradient by name, as an error relative to the largest entry."""
    for name in CohortLoss._fields:
        a, b = getattr(got, name).double(), getattr(want, name).double()
        error = float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        assert error < tolerance, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0], ids=lambda s: f"logits x{s}")
@pytest.mark.parametrize(("peers", "logits"), SHAPES, ids=lambda n: str(n))
def test_equals_float64_autograd(peers: int, logits: int, size: float) -> None:
    inputs = drawn(peers, logits, size, seed=peers)
    assert_close(cohort_loss(*inputs), autograd_reference(*inputs), 2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_logits_compute_in_fp32(dtype: torch.dtype) -> None:
    z_real, z_fake, *rest = drawn(3, 63, 3.0)
    z_real, z_fake = z_real.to(dtype), z_fake.to(dtype)
    got = cohort_loss(z_real, z_fake, *rest)
    assert all(x.dtype == torch.float32 for x in got)
    assert_close(got, autograd_reference(z_real, z_fake, *rest), 2e-5)


def test_gradients_equal_finite_differences() -> None:
    z_real, z_fake, mixing, temperature, weight = (x.double() for x in drawn(3, 5, 2.0))
    got = cohort_loss(z_real, z_fake, mixing, temperature, weight)
    teachers_real, teachers_fake = z_real.clone(), z_fake.clone()

    def loss_of(k: int, real_row: Tensor, fake_row: Tensor) -> tuple[float, float]:
        """L_D and adversarial of peer k where only its own logits move: teachers are constants."""
        real, fake = teachers_real.clone(), teachers_fake.clone()
        real[k], fake[k] = real_row, fake_row
        moved = cohort_loss(real, fake, mixing, temperature, weight)
        return float(moved.discriminator_P[k]), float(moved.adversarial_P[k])

    h = 1e-5
    for k in range(3):
        for e in range(5):
            delta = torch.zeros(5, dtype=torch.float64)
            delta[e] = h
            up, down = (loss_of(k, z_real[k] + s * delta, z_fake[k]) for s in (1, -1))
            assert float(got.grad_real_PE[k, e]) == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-9)
            up, down = (loss_of(k, z_real[k], z_fake[k] + s * delta) for s in (1, -1))
            assert float(got.grad_fake_PE[k, e]) == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-9)
            assert float(got.grad_adversarial_PE[k, e]) == pytest.approx(
                (up[1] - down[1]) / (2 * h), rel=1e-6, abs=1e-9
            )


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_extreme_logits_stay_finite_and_exact(size: float) -> None:
    z_real = torch.tensor([[size, -size, size, 0.0], [size, size, -size, -size]])
    z_fake = -z_real.flip(0)
    inputs = (z_real, z_fake, mutual(2), torch.tensor([1.0, 4.0]), torch.ones(2))
    got = cohort_loss(*inputs)
    assert all(bool(x.isfinite().all()) for x in got)
    assert_close(got, autograd_reference(*inputs), 1e-5)


def test_confident_gradients_do_not_cancel() -> None:
    """Where both peers are sure, the difference of probabilities is far below fp32's spacing at one."""
    z = torch.tensor([[20.0], [21.0]])
    inputs = (z, z, mutual(2), torch.ones(2), torch.ones(2))
    kl_gradient = (
        cohort_loss(*inputs).grad_real_PE - cohort_loss(*inputs[:2], torch.zeros(2, 2), *inputs[3:]).grad_real_PE
    )
    want = torch.sigmoid(z.double()) - torch.sigmoid(z.double().flip(0))
    assert kl_gradient.double() == pytest.approx(want, rel=1e-5)


def test_independent_is_plain_binary_cross_entropy() -> None:
    z_real, z_fake, _, temperature, weight = drawn(3, 16, 3.0)
    got = cohort_loss(z_real, z_fake, torch.zeros(3, 3), temperature, weight)
    assert not got.terms_P4[:, 2:].any()
    bce = [binary_cross_entropy_with_logits(r, torch.ones(16)) + binary_cross_entropy_with_logits(f, torch.zeros(16))
           for r, f in zip(z_real, z_fake, strict=True)]  # fmt: skip
    torch.testing.assert_close(got.discriminator_P, torch.stack(bce))


def test_identical_peers_have_no_divergence_and_no_pull() -> None:
    z_real, z_fake, *_ = drawn(1, 50, 5.0)
    inputs = (z_real.repeat(4, 1), z_fake.repeat(4, 1))
    alone = cohort_loss(*inputs, torch.zeros(4, 4), torch.ones(4), torch.ones(4))
    taught = cohort_loss(*inputs, mutual(4), torch.ones(4), torch.ones(4))
    # not exactly zero: vectorised and scalar softplus differ in the last bit
    assert float(taught.terms_P4[:, 2:].max()) < 1e-7
    torch.testing.assert_close(taught.grad_real_PE, alone.grad_real_PE, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(taught.grad_fake_PE, alone.grad_fake_PE, rtol=1e-6, atol=1e-9)


def test_hot_temperature_matches_logits() -> None:
    """T to infinity: T^2 KL tends to (z_k - z_j)^2 / 8, and its gradient to (z_k - z_j) / (4E)."""
    z = drawn(2, 16, 1.0)[0].double()
    ones = torch.ones(2, dtype=torch.float64)
    inputs = (mutual(2).double(), 1e4 * ones, ones)
    got, plain = cohort_loss(z, z, *inputs), cohort_loss(z, z, torch.zeros(2, 2), *inputs[1:])
    difference = z - z.flip(0)
    torch.testing.assert_close(got.terms_P4[:, 2], difference.square().mean(1) / 8, rtol=1e-4, atol=0)
    torch.testing.assert_close(got.grad_real_PE - plain.grad_real_PE, difference / (4 * 16), rtol=1e-4, atol=1e-9)


def test_teacher_receives_no_gradient() -> None:
    """Peer 1 teaches peer 0 and learns from nobody: its gradients are those of plain BCE."""
    z_real, z_fake, *_ = drawn(2, 16, 3.0)
    one_way = cohort_loss(z_real, z_fake, torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.ones(2), torch.ones(2))
    plain = cohort_loss(z_real, z_fake, torch.zeros(2, 2), torch.ones(2), torch.ones(2))
    assert torch.equal(one_way.grad_real_PE[1], plain.grad_real_PE[1])
    assert not torch.equal(one_way.grad_real_PE[0], plain.grad_real_PE[0])
    assert one_way.discriminator_P[1] == plain.discriminator_P[1]


def test_real_and_fake_may_differ_in_logits() -> None:
    z_real, _, mixing, temperature, weight = drawn(2, 16, 3.0)
    z_fake = drawn(2, 7, 3.0)[1]
    inputs = (z_real, z_fake, mixing, temperature, weight)
    assert_close(cohort_loss(*inputs), autograd_reference(*inputs), 2e-5)


def test_non_contiguous_logits() -> None:
    z_real, z_fake, *rest = drawn(3, 32, 2.0)
    strided = (z_real.t().contiguous().t(), torch.stack([z_fake, z_fake], 2)[:, :, 0])
    assert_close(cohort_loss(*strided, *rest), cohort_loss(z_real, z_fake, *rest), 1e-6)


@settings(max_examples=40, deadline=None)
@given(
    peers=st.integers(1, 6),
    logits=st.integers(1, 40),
    size=st.floats(0.01, 100),
    temperature=st.floats(0.25, 8),
    seed=st.integers(0, 2**31),
)
def test_properties(peers: int, logits: int, size: float, temperature: float, seed: int) -> None:
    z_real, z_fake, mixing, _, weight = drawn(peers, logits, size, seed)
    got = cohort_loss(z_real, z_fake, mixing, torch.full((peers,), temperature), weight)
    assert bool((got.terms_P4 >= 0).all()), "no term is negative"
    order = torch.randperm(peers, generator=torch.Generator().manual_seed(seed))
    shuffled = cohort_loss(
        z_real[order], z_fake[order], mixing[order][:, order], torch.full((peers,), temperature), weight[order]
    )
    for name in CohortLoss._fields:
        torch.testing.assert_close(getattr(shuffled, name), getattr(got, name)[order], rtol=1e-5, atol=1e-6, msg=name)
    negated = cohort_loss(-z_fake, -z_real, mixing, torch.full((peers,), temperature), weight)
    torch.testing.assert_close(negated.discriminator_P, got.discriminator_P, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({0: torch.zeros(3, 4)}, "z_real_PE"),
        ({0: torch.zeros(2, 0)}, "z_real_PE"),
        ({1: torch.zeros(2)}, "z_fake_PE"),
        ({2: torch.zeros(3, 3)}, "mixing_PP"),
        ({3: torch.ones(3)}, "temperature_P"),
        ({4: torch.ones(1)}, "kl_weight_P"),
    ],
    ids=["peers differ", "no logits", "one axis", "mixing", "temperature", "weight"],
)
def test_wrong_shapes_are_named(change: dict[int, Tensor], named: str) -> None:
    inputs = [torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 2), torch.ones(2), torch.ones(2)]
    for index, value in change.items():
        inputs[index] = value
    with pytest.raises(ValueError, match=named):
        cohort_loss(*inputs)
