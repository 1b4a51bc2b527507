"""Parameters of every sample and its blur kernels, in two Triton launches. draw.py and blur.py define them.

Axes: N samples, F numbers of the settings, T side of blur kernels. Pointers have the name of the tensor they point to.
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.degrade.draw import PARAMETERS as PARAMETERS_TAG
from fastsr_kernels.degrade.draw import FinalDrawn, RoundDrawn
from fastsr_kernels.degrade.settings import WIDTHS

COLUMNS = 2 * len(RoundDrawn._fields) + len(FinalDrawn._fields)
"""Of the table of parameters."""
ROUND = tl.constexpr(len(RoundDrawn._fields))
NUMBERS_OF_A_ROUND = tl.constexpr(sum(WIDTHS.values()))
FINAL = tl.constexpr(2 * len(RoundDrawn._fields))
PARAMETERS = tl.constexpr(PARAMETERS_TAG)
PI, THIRD, TWO_THIRDS, FIFTH = (
    tl.constexpr(3.141592653589793 * part) for part in (1, 1 / 3, 2 / 3, 1 / 5)
)
# Constants stand right of tensors: left of them Triton's interpreter makes constants of what it computes.


@triton.jit
def word(seed, counter, K: tl.constexpr):
    """Random word K of a sample, 32 bits."""
    a, b, c, d = tl.philox(
        seed,
        (counter & 0xFFFFFFFF).to(tl.uint32),
        (counter >> 32).to(tl.uint32),
        K // 4,
        PARAMETERS,
    )
    if K % 4 == 0:
        result = a
    elif K % 4 == 1:
        result = b
    elif K % 4 == 2:
        result = c
    else:
        result = d
    return result


@triton.jit
def unit(word):
    """A word as fp32 in [0, 1): its upper 24 bits, exactly."""
    return (word >> 8).to(tl.float32) * (1 / 16777216)


@triton.jit
def below(word, bound):
    """A word as a whole number in [0, bound), in fp32."""
    return ((word.to(tl.uint64) * bound) >> 32).to(tl.float32)


@triton.jit
def between(word, bounds):
    """Uniform from the first to the second of two numbers in memory."""
    low = tl.load(bounds)
    return low + (tl.load(bounds + 1) - low) * unit(word)


@triton.jit
def one_of(word, sums, COUNT: tl.constexpr):
    """Index of an alternative, by running sums in memory."""
    u = unit(word)
    index = 0.0
    for k in tl.static_range(COUNT - 1):
        index += (u >= tl.load(sums + k)).to(tl.float32)
    return index


@triton.jit
def exponent(side, word, bounds):
    """From the lower bound to 1 in half of the cases, from 1 to the upper one in the others."""
    u, low, high = unit(word), tl.load(bounds), tl.load(bounds + 1)
    return tl.where(unit(side) < 0.5, low + (1 - low) * u, 1 + (high - 1) * u)


@triton.jit
def happens(word, probability):
    return (unit(word) < tl.load(probability)).to(tl.float32)


@triton.jit
def odd_side(word, LEAST: tl.constexpr, MOST: tl.constexpr):
    return 2 * below(word, (MOST - LEAST) // 2 + 1) + LEAST


@triton.jit
def draw_blur(row, number, seed, counter, W: tl.constexpr, LEAST: tl.constexpr, MOST: tl.constexpr):
    """Writes the first eight parameters of a round: its blur. `number` are the settings, W the first word."""
    is_sinc = unit(word(seed, counter, W + 1)) < tl.load(number + 7)
    kind = tl.where(is_sinc, 6.0, one_of(word(seed, counter, W), number + 1, 6))
    taps = odd_side(word(seed, counter, W + 2), LEAST, MOST)
    sigma_x, sigma_y = (
        between(word(seed, counter, W + 3), number + 8),
        between(word(seed, counter, W + 4), number + 8),
    )
    is_turned = (kind == 1) | (kind == 3) | (kind == 5)
    side, value = word(seed, counter, W + 6), word(seed, counter, W + 7)
    generalised, plateau = exponent(side, value, number + 10), exponent(side, value, number + 12)
    beta = tl.where(
        (kind == 2) | (kind == 3), generalised, tl.where((kind == 4) | (kind == 5), plateau, 1.0)
    )
    low = tl.where(taps < 13, THIRD, FIFTH)
    tl.store(row, happens(word(seed, counter, W + 9), number))
    tl.store(row + 1, kind)
    tl.store(row + 2, taps)
    tl.store(row + 3, sigma_x)
    tl.store(row + 4, tl.where(is_turned, sigma_y, sigma_x))
    tl.store(row + 5, tl.where(is_turned, (2 * unit(word(seed, counter, W + 5)) - 1) * PI, 0.0))
    tl.store(row + 6, beta)
    tl.store(row + 7, low + (-low + PI) * unit(word(seed, counter, W + 8)))


@triton.jit
def draw_rest(
    row, number, seed, counter, W: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):
    """Writes the other parameters of a round: resize, noise, JPEG, order."""
    u = unit(word(seed, counter, W + 11))
    direction = one_of(word(seed, counter, W + 10), number + 14, 3)
    low, high = tl.load(number + 17), tl.load(number + 18)
    scale = tl.where(
        direction == 0, 1 + (high - 1) * u, tl.where(direction == 1, low + (1 - low) * u, 1.0)
    )
    poisson = 1 - happens(word(seed, counter, W + 13), number + 20)
    strength = word(seed, counter, W + 14)
    gaussian_strength, poisson_strength = (
        between(strength, number + 21),
        between(strength, number + 23),
    )
    least, most = tl.load(number + 27), tl.load(number + 28)
    quality = least + below(word(seed, counter, W + 16), (most - least + 1).to(tl.uint64))
    tl.store(row + 8, tl.maximum(tl.floor(scale * HEIGHT), 1.0))
    tl.store(row + 9, tl.maximum(tl.floor(scale * WIDTH), 1.0))
    tl.store(row + 10, below(word(seed, counter, W + 12), 3))
    tl.store(row + 11, happens(word(seed, counter, W + 17), number + 19))
    tl.store(row + 12, poisson)
    tl.store(row + 13, tl.where(poisson > 0, poisson_strength, gaussian_strength))
    tl.store(row + 14, happens(word(seed, counter, W + 15), number + 25))
    tl.store(row + 15, happens(word(seed, counter, W + 18), number + 26) * quality)
    tl.store(row + 16, below(word(seed, counter, W + 19), 6))


@triton.jit
def draw_kernel(
    numbers_F, step, table, seed, BATCH: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
    SCALE: tl.constexpr, PLACES: tl.constexpr, LEAST: tl.constexpr, MOST: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Program n writes the row of sample n."""
    n = tl.program_id(0)
    counter = tl.load(step) * BATCH + n
    row = table + n * COLUMNS
    second = numbers_F + NUMBERS_OF_A_ROUND
    draw_blur(row, numbers_F, seed, counter, 0, LEAST, MOST)
    draw_rest(row, numbers_F, seed, counter, 0, HEIGHT, WIDTH)
    draw_blur(row + ROUND, second, seed, counter, 20, LEAST, MOST)
    draw_rest(row + ROUND, second, seed, counter, 20, HEIGHT // SCALE, WIDTH // SCALE)
    last = row + FINAL
    tl.store(last, happens(word(seed, counter, 40), second + NUMBERS_OF_A_ROUND))
    tl.store(last + 1, odd_side(word(seed, counter, 41), LEAST, MOST))
    tl.store(last + 2, unit(word(seed, counter, 42)) * TWO_THIRDS + THIRD)
    tl.store(last + 3, below(word(seed, counter, 43), 3))
    tl.store(last + 4, (word(seed, counter, 44) >> 31).to(tl.float32))
    tl.store(last + 5, below(word(seed, counter, 45), PLACES))
    tl.store(last + 6, below(word(seed, counter, 46), PLACES))


@triton.jit
def cos_of_turns(turns):
    """cos(2 pi turns) within 2e-7. The compiler's own cosine keeps a table for huge angles in slow local memory."""
    x = (0.25 - tl.abs(turns - tl.floor(turns + 0.5))) * 6.283185307179586
    s = x * x
    series = 1 - s * (1 / 72) * (1 - s * (1 / 110) * (1 - s * (1 / 156)))
    return x * (1 - s * (1 / 6) * (1 - s * (1 / 20) * (1 - s * (1 / 42) * series)))


@triton.jit
def cos(angle):
    """The cosine of some radians, within 2e-6 up to 50."""
    return cos_of_turns(angle * 0.15915494309189535)


@triton.jit
def sin(angle):
    return cos_of_turns(angle * 0.15915494309189535 - 0.25)


@triton.jit
def bessel_j1_over_t(t):
    """As blur.bessel_j1_over_t."""
    s = tl.minimum(t, 3.0) * (1 / 3)
    s = s * s
    near = 0.5 + s * (-0.56249985 + s * (0.21093573 + s * (-0.03954289 + s * (0.00443319 + s * (
        -0.00031761 + s * 0.00001109)))))  # fmt: skip
    far = tl.maximum(t, 3.0)
    v = 3 / far
    amplitude = 0.79788456 + v * (0.00000156 + v * (0.01659667 + v * (0.00017105 + v * (
        -0.00249511 + v * (0.00113653 + v * -0.00020033)))))  # fmt: skip
    phase = far - 2.35619449 + v * (0.12499612 + v * (0.00005650 + v * (-0.00637879 + v * (
        0.00074348 + v * (0.00079824 + v * -0.00029166)))))  # fmt: skip
    return tl.where(t <= 3, near, amplitude * cos(phase) / (far * tl.sqrt(far)))


@triton.jit
def bell_or_plateau(row, y, x):
    """Weights of a round's kernel that is no sinc, up to a factor."""
    theta, kind = tl.load(row + 5), tl.load(row + 1)
    cosine, sine = cos(theta), sin(theta)
    along = (cosine * x + sine * y) / tl.load(row + 3)
    across = (cosine * y - sine * x) / tl.load(row + 4)
    q = along * along + across * across
    power = tl.where(q > 0, tl.exp(tl.load(row + 6) * tl.log(tl.maximum(q, 1e-30))), 0.0)
    return tl.where(kind >= 4, 1 / (1 + power), tl.exp(-0.5 * power))


@triton.jit
def kernels_kernel(
    table,
    kernels_3NTT,
    BATCH: tl.constexpr,
    COLUMNS: tl.constexpr,
    T: tl.constexpr,
    SIDE: tl.constexpr,
    MARGIN: tl.constexpr,
):
    """Program (n, r) writes the blur kernel of sample n in round r, of which the third is the last sinc filter.

    Above and below each lie MARGIN rows of zeros, which whoever filters several rows at once may read.
    """
    n, r = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS + r * ROUND
    i, j = tl.arange(0, SIDE)[:, None], tl.arange(0, SIDE)[None, :]
    y, x = (i - T // 2).to(tl.float32), (j - T // 2).to(tl.float32)
    is_last = r == 2
    taps = tl.load(row + tl.where(is_last, 1, 2))
    omega = tl.load(row + tl.where(is_last, 2, 7))
    is_sinc = is_last | (tl.load(row + 1) == 6)
    # The row of the last filter has fewer columns; what is read beyond its own is not used, and within the table.
    sinc = bessel_j1_over_t(omega * tl.sqrt(y * y + x * x))
    weights = tl.where(
        is_sinc, sinc, bell_or_plateau(table + n * COLUMNS + tl.minimum(r, 1) * ROUND, y, x)
    )
    reach = tl.maximum(tl.abs(y), tl.abs(x))
    weights = tl.where(2 * reach < taps, weights, 0.0)
    weights = weights / tl.sum(tl.sum(weights, 1), 0)
    weights = tl.where(tl.load(row) > 0, weights, (reach == 0).to(tl.float32))
    kernel = kernels_3NTT + (r * BATCH + n) * (T + 2 * MARGIN) * T
    tl.store(kernel + (MARGIN + i) * T + j, weights, mask=(i < T) & (j < T))
    rim = tl.arange(0, MARGIN)[:, None] * T + j
    tl.store(kernel + rim, tl.zeros((MARGIN, SIDE), tl.float32), mask=(rim >= 0) & (j < T))
    below = kernel + (MARGIN + T) * T + rim
    tl.store(below, tl.zeros((MARGIN, SIDE), tl.float32), mask=(rim >= 0) & (j < T))
