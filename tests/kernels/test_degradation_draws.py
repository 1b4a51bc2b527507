"""Parameters and noise against the distributions that they are published with, by Kolmogorov and Smirnov.

Seeds are fixed, so that a test passes always or never; the least p-value of a sound generator's thirty is far above.
"""

import random
import sys
from math import pi

import numpy as np
import pytest
import torch
from degrade_cases import FIRST, REAL_ESRGAN, degradation, drawn_by
from fastsr_kernels.degrade import blur, noise
from fastsr_kernels.degrade.draw import SINC, WORDS, Drawn, RoundDrawn, factor, words_of
from fastsr_kernels.degrade.settings import KERNELS, Frame
from patch_cases import philox_words
from scipy import stats
from torchvision.transforms import functional

BATCH, LEAST_P = 4000, 1e-4
ALL_ALIKE = torch.tensor([1 / 3, 2 / 3, 1.0])


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_by(REAL_ESRGAN, BATCH, 256, seed=5, step=3)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    assert low <= values.min() <= values.max() <= high
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > LEAST_P


def assert_shares(values: np.ndarray, shares: dict[float, float]) -> None:
    assert set(values.tolist()) <= set(shares)
    counts = [(values == value).sum() for value in shares]
    expected = np.array(list(shares.values())) / sum(shares.values()) * len(values)
    assert stats.chisquare(counts, expected).pvalue > LEAST_P


@pytest.mark.parametrize("number", [0, 1])
def test_blur(drawn: Drawn, number: int) -> None:
    d: RoundDrawn = drawn[number]
    kind = d.kind.numpy()
    published = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    assert_shares(kind, {SINC: 0.1} | {k: 0.9 * share for k, share in enumerate(published)})
    assert_shares(d.taps.numpy(), dict.fromkeys(range(7, 22, 2), 1.0))
    if number:
        assert_shares(d.blurs.numpy(), {1: 0.8, 0: 0.2})
    else:
        assert d.blurs.min() == 1
    assert_uniform(d.sigma_x.numpy(), 0.2, (3.0, 1.5)[number])
    is_long = np.isin(kind, (1, 3, 5))
    assert np.array_equal(d.sigma_x[~is_long], d.sigma_y[~is_long])
    assert_uniform(d.sigma_y.numpy()[is_long], 0.2, (3.0, 1.5)[number])
    assert_uniform(d.theta.numpy()[is_long], -pi, pi)
    for kinds, low, high in (((2, 3), 0.5, 4.0), ((4, 5), 1.0, 2.0)):
        beta = d.beta.numpy()[np.isin(kind, kinds)]
        assert_shares((beta > 1).astype(float), {1: 0.5, 0: 0.5})
        assert_uniform(beta[beta > 1], 1, high)
        assert_uniform(beta[beta <= 1], low, 1) if low < 1 else None
    taps = d.taps.numpy()
    assert_uniform(d.omega.numpy()[taps < 13], pi / 3, pi)
    assert_uniform(d.omega.numpy()[taps >= 13], pi / 5, pi)


@pytest.mark.parametrize("number", [0, 1])
def test_resize(drawn: Drawn, number: int) -> None:
    d: RoundDrawn = drawn[number]
    base, (low, high) = (256, 64)[number], ((0.15, 1.5), (0.3, 1.2))[number]
    factor = d.height.numpy() / base
    assert torch.equal(d.height, d.width)
    assert_shares(d.mode.numpy(), {0: 1, 1: 1, 2: 1})
    shares = ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3))[number]
    # A factor just above 1 rounds down to 1.
    kept = (factor == 1).mean() - shares[2]
    assert 0 <= kept + 0.03 <= 0.03 + 0.03 + shares[0] / (base * (high - 1))
    # Whole sizes are steps in the distribution, as large as a pixel.
    for part, lower, upper in ((factor < 1, low, 1.0), (factor > 1, 1.0, high)):
        jittered = factor[part] + np.random.default_rng(0).random(part.sum()) / base
        least = int(lower * base) / base if lower < 1 else 1 + 1 / base
        assert stats.kstest(jittered, "uniform", (least, upper - least)).statistic < 0.05
    assert abs((factor < 1).mean() - shares[1]) < 0.03


@pytest.mark.parametrize("number", [0, 1])
def test_noise_and_jpeg(drawn: Drawn, number: int) -> None:
    d: RoundDrawn = drawn[number]
    poisson = d.poisson.numpy() > 0
    assert_shares(d.poisson.numpy(), {0: 0.5, 1: 0.5})
    assert_shares(d.gray.numpy(), {0: 0.6, 1: 0.4})
    assert_uniform(d.strength.numpy()[~poisson], 1, (30, 25)[number])
    assert_uniform(d.strength.numpy()[poisson], 0.05, (3.0, 2.5)[number])
    assert_shares(d.quality.numpy(), dict.fromkeys(range(30, 96), 1.0))


def test_the_end(drawn: Drawn) -> None:
    d = drawn.final
    assert_shares(d.blurs.numpy(), {1: 0.8, 0: 0.2})
    assert_shares(d.jpeg_first.numpy(), {1: 0.5, 0: 0.5})
    assert_shares(d.mode.numpy(), {0: 1, 1: 1, 2: 1})
    assert_uniform(d.omega.numpy(), pi / 3, pi)


def test_nothing_drawn_goes_with_anything_else(drawn: Drawn) -> None:
    """No two of the parameters are correlated, but those that belong together; nor with the sample's number."""
    names = [
        f"{part} {name}"
        for part, d in zip(("1", "2", "end"), drawn, strict=True)
        for name in d._fields
    ]
    table = torch.cat([drawn.table(), torch.arange(BATCH)[:, None].float()], 1).double()
    varying = table.std(0) > 0
    names = [name for name, keep in zip([*names, "sample"], varying.tolist(), strict=True) if keep]
    correlation = table[:, varying].T.corrcoef().abs()
    tied = [("kind", "beta"), ("kind", "theta"), ("sigma_x", "sigma_y"), ("taps", "omega"), ("height", "width"),
            ("poisson", "strength")]  # fmt: skip
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            if not any({a.split()[-1], b.split()[-1]} == set(pair) for pair in tied):
                assert correlation[i, j] < 0.08, (a, b)


def test_probabilities_of_nothing_and_of_jpeg() -> None:
    what = degradation(
        {"noise_prob": 0.25, "jpeg_prob": 0.5, "resize_prob": (0.0, 0.0, 1.0)}, context=32
    )
    d = drawn_by(what, BATCH, 128, seed=1)
    assert_shares(d.first.noises.numpy(), {1: 0.25, 0: 0.75})
    assert_shares((d.second.quality > 0).float().numpy(), {1: 0.5, 0: 0.5})
    assert set(d.first.height.tolist()) == {128}
    assert set(d.second.height.tolist()) == {32}
    assert_shares(d.final.top.numpy(), dict.fromkeys(range(9), 1))
    assert_shares(d.first.order.numpy(), dict.fromkeys(range(6), 1))


def test_random_words_are_those_of_philox() -> None:
    """Of parameters and of noise, by Python's whole numbers: key, counter, and the words that tell both apart."""
    seed, step, batch = 2**40 + 3, 2**61 // 3, 3
    words = words_of(seed, torch.tensor(step), batch)
    for n in range(batch):
        groups = [philox_words(step * batch + n, seed, group, 1) for group in range(WORDS // 4)]
        assert words[n].tolist() == [word for group in groups for word in group]
    counter = torch.tensor([5, 2**62 + 7])
    got = torch.stack(noise.words_at(seed, counter, 19, 4, 6, group=2), -1)
    for n, row, column in ((0, 0, 0), (0, 3, 5), (1, 2, 4)):
        expected = philox_words(int(counter[n]), seed, row << 16 | column, 2 + 19 + (2 << 8))
        assert tuple(got[n, row, column].tolist()) == expected


def test_brightness_is_that_of_torchvision() -> None:
    x = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise.luma(x), functional.rgb_to_grayscale(x)[:, 0])
    assert torch.equal(noise.luma(x[:, :1]), x[:, 0])


def test_blur_kernels_are_spread_as_those_of_basicsr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its random kernels beside ours, by their weight in the middle, width and height."""
    # BasicSR 1.4.2 imports a module that torchvision has since renamed.
    monkeypatch.setitem(sys.modules, "torchvision.transforms.functional_tensor", functional)
    degradations = pytest.importorskip("basicsr.data.degradations")
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    pi_range, theirs = [-pi, pi], np.zeros((1000, 21, 21))
    for n in range(len(theirs)):
        kernel = degradations.random_mixed_kernels(
            list(KERNELS), FIRST.kernel_prob, 21, FIRST.blur_sigma, FIRST.blur_sigma, pi_range,
            FIRST.betag_range, FIRST.betap_range, noise_range=None,
        )  # fmt: skip
        theirs[n] = kernel
    what = degradation({"sinc_prob": 0.0}, blur_taps=(21, 21))
    ours = blur.round_kernels(drawn_by(what, 1000, 64, seed=4).first, 21).numpy()
    place = np.arange(21) - 10
    for about in (
        lambda kernels: kernels[:, 10, 10],
        lambda kernels: (kernels.sum(1) * place**2).sum(1),
        lambda kernels: (kernels.sum(2) * place**2).sum(1),
    ):
        assert stats.ks_2samp(about(ours), about(theirs)).pvalue > LEAST_P


def field(samples: int = 4, side: int = 128, group: int = 0) -> tuple[torch.Tensor, ...]:
    return noise.words_at(9, torch.arange(samples), 3, side, side, group)


def test_normal_noise() -> None:
    a, b, c, d = field()
    values = [*noise.normals(a, b), *noise.normals(c, d), noise.normals(*field(group=1)[:2])[0]]
    for z in values:
        assert stats.kstest(z.flatten().numpy(), "norm").pvalue > LEAST_P
    everything = torch.stack([z.flatten() for z in values]).corrcoef() - torch.eye(5)
    assert float(everything.abs().max()) < 0.02
    z = values[0]
    for neighbour in (z.roll(1, 2), z.roll(1, 1), z.roll(1, 0), z.mT):
        assert abs(float((z * neighbour).mean())) < 0.02


@pytest.mark.parametrize("mean", [0.01, 0.5, 1.0, 3.99, 4.0, 5.5, 9.0, 17.3, 60.0, 130.0, 256.0])
def test_poisson_counts(mean: float) -> None:
    """The share of every count against SciPy's, to a part in a thousand and to chance."""
    a, b, c, _ = field(samples=16)
    counts = (
        noise.poisson(torch.full(a.shape, mean), noise.normals(a, b)[0], noise.unit(c))
        .flatten()
        .numpy()
    )
    top = int(counts.max()) + 2
    share = np.bincount(counts.astype(int), minlength=top)[:top].cumsum() / len(counts)
    off = np.abs(share - stats.poisson.cdf(np.arange(top), mean)).max()
    assert np.array_equal(counts, counts.astype(int))
    assert off < 0.001 + 2 / len(counts) ** 0.5, off


def one(**values: float) -> RoundDrawn:
    blank = dict.fromkeys(RoundDrawn._fields, torch.zeros(1))
    return RoundDrawn(**(blank | {name: torch.tensor([v]) for name, v in values.items()}))


ON, ZERO = torch.tensor([True]), torch.tensor([0])


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize("gray", [0.0, 1.0], ids=["colour", "grey"])
@pytest.mark.parametrize("poisson", [0.0, 1.0], ids=["Gaussian", "Poisson"])
def test_noise_has_its_strength(poisson: float, gray: float, channels: int) -> None:
    level, strength = 0.4, 1.5 if poisson else 12.0
    x = torch.full((1, channels, 90, 80), level)
    added = (
        noise.add_noise(x, one(poisson=poisson, gray=gray, strength=strength), ON, 4, ZERO, 0) - x
    )
    expected = strength * (level / 256) ** 0.5 if poisson else strength / 255
    assert float(added.mean()) == pytest.approx(0, abs=0.05 * expected)
    assert float(added.std()) == pytest.approx(expected, rel=0.05)
    same = [torch.allclose(added[:, c], added[:, 0], atol=1e-6) for c in range(1, channels)]
    assert same == [gray > 0] * (channels - 1)


def test_noise_is_clipped_and_only_where_it_is_drawn() -> None:
    x = torch.tensor([-0.5, 0.0, 1.0, 1.5]).expand(1, 3, 50, 4)
    loud = one(strength=200.0)
    got = noise.add_noise(x, loud, ON, 0, ZERO, 0)
    assert (float(got.min()), float(got.max())) == (0, 1)
    assert torch.equal(noise.add_noise(x, loud, ~ON, 0, ZERO, 0), x)
    assert not torch.equal(got, noise.add_noise(x, loud, ON, 0, ZERO, 1))
    assert not torch.equal(got, noise.add_noise(x, loud, ON, 0, ZERO + 1, 0))
    assert torch.equal(got[..., :30, :], noise.add_noise(x[:, :, :30], loud, ON, 0, ZERO, 0))


def test_canvases_hold_the_greatest_pictures() -> None:
    """The greatest factor in fp32: 365 times 1.4 is 510.99... in Python, and 511 where it is drawn."""
    greatest, up = torch.tensor([2**32 - 1]), torch.tensor([0])
    side_S = torch.arange(16, 400)
    for hundredths in range(100, 401):
        growth = hundredths / 100
        first = FIRST._replace(resize_range=torch.tensor([0.5, growth]), resize_prob=ALL_ALIKE)  # pyright: ignore
        drawn_S = (side_S * factor(up, greatest, first)).floor()
        frame = Frame(1, 0, False, False, 7, 21, growth, 1.0)
        canvas_S = torch.tensor([frame.canvas_sides(side)[0] for side in side_S.tolist()])
        assert bool((canvas_S >= drawn_S).all()), growth
        assert bool((canvas_S <= side_S * growth + 0.01).all()), growth
