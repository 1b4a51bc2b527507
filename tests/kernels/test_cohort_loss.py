"""The cohort loss against float64 autograd, finite differences, and what must hold whatever the numbers."""

import pytest
import torch
from cohort_cases import Inputs, assert_close, by_autograd, drawn, entropies, in_slices, mutual
from devices import on_every_device
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

SHAPES = [(1, 1), (1, 7), (2, 1), (2, 16), (3, 63), (5, 1000), (8, 37 * 41), (16, 20)]


@on_every_device
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0], ids=lambda s: f"logits x{s}")
@pytest.mark.parametrize(("peers", "logits"), SHAPES, ids=lambda n: str(n))
def test_equals_float64_autograd(peers: int, logits: int, size: float, device: str) -> None:
    inputs = drawn(peers, logits, size, seed=peers)
    assert_close(cohort_loss(*inputs.to(device)), by_autograd(inputs))


def test_slices_of_a_map_add_up_to_the_whole() -> None:
    """What GPU tests compare their largest maps with."""
    inputs = drawn(3, 63, 3.0)
    assert_close(in_slices(inputs, 20), by_autograd(inputs), tolerance=1e-12)


@on_every_device
@pytest.mark.parametrize(
    ("peers", "logits"), [(1, 7), (2, 1), (3, 63), (4, 1000)], ids=lambda n: str(n)
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_logits_compute_in_fp32(
    dtype: torch.dtype, peers: int, logits: int, device: str
) -> None:
    inputs = drawn(peers, logits, 3.0).of(dtype)
    got = cohort_loss(*inputs.to(device))
    assert all(x.dtype == torch.float32 for x in got)
    assert_close(got, by_autograd(inputs))


@on_every_device
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0, 1e4], ids=lambda s: f"logits x{s}")
@pytest.mark.parametrize(
    ("peers", "logits"), [(1, 7), (2, 1), (3, 63), (5, 1000)], ids=lambda n: str(n)
)
def test_one_outcome_equals_float64_autograd(
    peers: int, logits: int, size: float, device: str
) -> None:
    inputs = drawn(peers, logits, size, seed=peers)
    assert_close(
        cohort_loss(*inputs.to(device), one_outcome=True), by_autograd(inputs, one_outcome=True)
    )


@on_every_device
def test_one_outcome_is_what_keras_computes_of_a_single_probability(device: str) -> None:
    """sum over the last axis, of size 1, of p_j ln(p_j / p_k), mean over images; p is that of the true outcome."""
    inputs = drawn(2, 16, 1.0)._replace(mixing_PP=mutual(2), temperature_P=torch.ones(2))
    got = cohort_loss(*inputs.to(device), one_outcome=True)
    for column, z_PE in ((2, inputs.z_real_PE), (3, -inputs.z_fake_PE)):
        p_PE = z_PE.double().sigmoid()
        want = [float((p_PE[1 - k] * (p_PE[1 - k] / p_PE[k]).log()).mean()) for k in range(2)]
        assert got.terms_P4[:, column].cpu().double() == pytest.approx(want, abs=1e-6)


@on_every_device
def test_one_outcome_may_be_negative_unlike_a_divergence(device: str) -> None:
    z = torch.tensor([[2.0], [0.0]])
    got = cohort_loss(
        *Inputs(z, z, mutual(2), torch.ones(2), torch.ones(2)).to(device), one_outcome=True
    )
    assert float(got.terms_P4[0, 2]) < 0 < float(got.terms_P4[1, 2])


@on_every_device
def test_one_outcome_always_adds_to_binary_cross_entropy(device: str) -> None:
    """With equal peers a divergence has no gradient; this has the teacher's probability times that of BCE."""
    z = drawn(1, 50, 3.0)
    inputs = Inputs(*(x.repeat(2, 1) for x in z[:2]), mutual(2), torch.ones(2), torch.ones(2)).to(
        device
    )
    taught = cohort_loss(*inputs, one_outcome=True)
    alone = cohort_loss(*inputs._replace(kl_weight_P=torch.zeros(2, device=device)))
    for name, z_PE in (("grad_real_PE", inputs.z_real_PE), ("grad_fake_PE", -inputs.z_fake_PE)):
        both, plain = getattr(taught, name), getattr(alone, name)
        torch.testing.assert_close(both, plain * (1 + z_PE.sigmoid()), rtol=1e-5, atol=1e-8)


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
            assert float(got.grad_real_PE[k, e]) == pytest.approx(
                (up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-9
            )
            up, down = (loss_of(k, z_real[k], z_fake[k] + s * delta) for s in (1, -1))
            assert float(got.grad_fake_PE[k, e]) == pytest.approx(
                (up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-9
            )
            assert float(got.grad_adversarial_PE[k, e]) == pytest.approx(
                (up[1] - down[1]) / (2 * h), rel=1e-6, abs=1e-9
            )


@on_every_device
@pytest.mark.parametrize(
    "temperatures", [(1.0, 4.0), (2.0, 2.0)], ids=["own temperatures", "one temperature"]
)
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_extreme_logits_stay_finite_and_exact(
    size: float, temperatures: tuple[float, float], device: str
) -> None:
    z_real = torch.tensor([[size, -size, size, 0.0], [size, size, -size, -size]])
    inputs = Inputs(z_real, -z_real.flip(0), mutual(2), torch.tensor(temperatures), torch.ones(2))
    got = cohort_loss(*inputs.to(device))
    assert all(bool(x.isfinite().all()) for x in got)
    assert_close(got, by_autograd(inputs))


@on_every_device
def test_confident_gradients_do_not_cancel(device: str) -> None:
    """If both peers are confident, the difference of probabilities is far below fp32's spacing at one."""
    z = torch.tensor([[20.0], [21.0]])
    inputs = Inputs(z, z, mutual(2), torch.ones(2), torch.ones(2)).to(device)
    plain = inputs._replace(mixing_PP=torch.zeros(2, 2, device=device))
    kl_gradient = (cohort_loss(*inputs).grad_real_PE - cohort_loss(*plain).grad_real_PE).cpu()
    want = torch.sigmoid(-z.double().flip(0)) - torch.sigmoid(-z.double())
    assert kl_gradient.double() == pytest.approx(want, rel=1e-5)


@on_every_device
def test_independent_is_plain_binary_cross_entropy(device: str) -> None:
    inputs = drawn(3, 16, 3.0)._replace(mixing_PP=torch.zeros(3, 3))
    got = CohortLoss(*(x.cpu() for x in cohort_loss(*inputs.to(device))))
    assert not got.terms_P4[:, 2:].any()
    bce = [binary_cross_entropy_with_logits(r, torch.ones(16)) + binary_cross_entropy_with_logits(f, torch.zeros(16))
           for r, f in zip(inputs.z_real_PE, inputs.z_fake_PE, strict=True)]  # fmt: skip
    torch.testing.assert_close(got.discriminator_P, torch.stack(bce))


@on_every_device
def test_identical_peers_have_no_divergence_and_no_pull(device: str) -> None:
    z_real, z_fake, *_ = drawn(1, 50, 5.0)
    inputs = Inputs(
        z_real.repeat(4, 1), z_fake.repeat(4, 1), mutual(4), torch.ones(4), torch.ones(4)
    ).to(device)
    alone = cohort_loss(*inputs._replace(mixing_PP=torch.zeros(4, 4, device=device)))
    taught = cohort_loss(*inputs)
    # not exactly zero: vectorised and scalar softplus differ in the last bit
    assert float(taught.terms_P4[:, 2:].max()) < 2e-7
    torch.testing.assert_close(taught.grad_real_PE, alone.grad_real_PE, rtol=1e-6, atol=3e-9)
    torch.testing.assert_close(taught.grad_fake_PE, alone.grad_fake_PE, rtol=1e-6, atol=3e-9)


def test_hot_temperature_matches_logits() -> None:
    """T to infinity: T^2 KL tends to (z_k - z_j)^2 / 8, and its gradient to (z_k - z_j) / (4E)."""
    z = drawn(2, 16, 1.0).z_real_PE.double()
    ones = torch.ones(2, dtype=torch.float64)
    inputs = (mutual(2).double(), 1e4 * ones, ones)
    got, plain = cohort_loss(z, z, *inputs), cohort_loss(z, z, torch.zeros(2, 2), *inputs[1:])
    difference = z - z.flip(0)
    torch.testing.assert_close(
        got.terms_P4[:, 2], difference.square().mean(1) / 8, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(
        got.grad_real_PE - plain.grad_real_PE, difference / (4 * 16), rtol=1e-4, atol=1e-9
    )


@on_every_device
def test_teacher_receives_no_gradient(device: str) -> None:
    """Peer 1 teaches peer 0 and learns from nobody: its gradients are those of plain BCE."""
    inputs = drawn(2, 16, 3.0).to(device)
    one_way = cohort_loss(
        *inputs._replace(mixing_PP=torch.tensor([[0.0, 1.0], [0.0, 0.0]], device=device))
    )
    plain = cohort_loss(*inputs._replace(mixing_PP=torch.zeros(2, 2, device=device)))
    assert torch.equal(one_way.grad_real_PE[1], plain.grad_real_PE[1])
    assert not torch.equal(one_way.grad_real_PE[0], plain.grad_real_PE[0])
    assert one_way.discriminator_P[1] == plain.discriminator_P[1]


@on_every_device
def test_chain_of_teachers(device: str) -> None:
    """Peer 2 learns from 1 and 1 from 0, so rows of the mixing matrix differ and columns hold zeros."""
    inputs = drawn(3, 63, 3.0)._replace(
        mixing_PP=torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0.5, 0]])
    )
    assert_close(cohort_loss(*inputs.to(device)), by_autograd(inputs))


@on_every_device
@pytest.mark.parametrize(("real", "fake"), [(16, 7), (7, 1500)], ids=lambda n: str(n))
def test_real_and_fake_may_differ_in_logits(real: int, fake: int, device: str) -> None:
    inputs = drawn(2, real, 3.0, fake_logits=fake)
    assert_close(cohort_loss(*inputs.to(device)), by_autograd(inputs))


@on_every_device
def test_non_contiguous_logits_and_weights(device: str) -> None:
    inputs = drawn(3, 37 * 41, 2.0).to(device)
    strided = Inputs(
        inputs.z_real_PE.t().contiguous().t(),
        torch.stack([inputs.z_fake_PE, torch.full_like(inputs.z_fake_PE, torch.nan)], 2)[:, :, 0],
        inputs.mixing_PP.t().contiguous().t(),
        torch.stack([inputs.temperature_P, -inputs.temperature_P], 1)[:, 0],
        torch.stack([inputs.kl_weight_P, -inputs.kl_weight_P], 1)[:, 0],
    )
    assert not any(x.is_contiguous() for x in strided)
    assert_close(cohort_loss(*strided), by_autograd(inputs))


@on_every_device
def test_logits_that_begin_anywhere_in_memory(device: str) -> None:
    inputs = drawn(3, 63, 2.0).of(torch.float16)
    shifted = inputs.to(device)._replace(
        z_real_PE=torch.cat([inputs.z_real_PE[:, :1], inputs.z_real_PE], 1).to(device)
    )
    assert_close(
        cohort_loss(*shifted._replace(z_real_PE=shifted.z_real_PE[:, 1:])), by_autograd(inputs)
    )


@on_every_device
def test_one_set_of_logits_for_both(device: str) -> None:
    inputs = drawn(2, 16, 1.0)
    inputs = inputs._replace(z_fake_PE=inputs.z_real_PE)
    assert_close(cohort_loss(*inputs.to(device)), by_autograd(inputs))


@on_every_device
@settings(max_examples=30, deadline=None)
@given(
    peers=st.integers(1, 6),
    logits=st.integers(1, 40),
    size=st.floats(0.01, 100),
    temperature=st.floats(0.25, 8),
    seed=st.integers(0, 2**31),
)
def test_properties(
    peers: int, logits: int, size: float, temperature: float, seed: int, device: str
) -> None:
    inputs = (
        drawn(peers, logits, size, seed)
        ._replace(temperature_P=torch.full((peers,), temperature))
        .to(device)
    )
    got = cohort_loss(*inputs)
    assert bool((got.terms_P4 >= 0).all()), "no term is negative"
    order = torch.randperm(peers, generator=torch.Generator().manual_seed(seed)).to(device)
    mixing_PP = inputs.mixing_PP[order][:, order]
    shuffled = cohort_loss(*Inputs(*(x[order] for x in inputs))._replace(mixing_PP=mixing_PP))
    assert_close(shuffled, CohortLoss(*(x[order] for x in got)), nats=entropies(inputs))
    negated = cohort_loss(
        *inputs._replace(z_real_PE=-inputs.z_fake_PE, z_fake_PE=-inputs.z_real_PE)
    )
    torch.testing.assert_close(
        negated.discriminator_P, got.discriminator_P, rtol=1e-5, atol=1e-5 * entropies(inputs)
    )
