"""libjpeg's 8-point DCT and its tables, as whole numbers."""

LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Quantisation of brightness at quality 50: ITU-T T.81, table K.1."""
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
"""That of colour, table K.2."""
BITS, PASS_BITS = 13, 2
"""Fraction bits of libjpeg's constants, and those that it keeps between rows and columns."""
# 0.298631336, 0.390180644, 0.541196100, 0.765366865, 0.899976223, 1.175875602, 1.501321110, 1.847759065, 1.961570560,
# 2.053119869, 2.562915447 and 3.072711026 times 2^13: Loeffler, Ligtenberg and Moschytz, ICASSP 1989.
F298, F390, F541, F765, F899, F1175 = 2446, 3196, 4433, 6270, 7373, 9633
F1501, F1847, F1961, F2053, F2562, F3072 = 12299, 15137, 16069, 16819, 20995, 25172


def odd_part(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """The odd half of libjpeg's 8-point DCT, forward and inverse, of four whole numbers."""
    z1, z2, z3, z4 = a + d, b + c, a + c, b + d
    z5 = (z3 + z4) * F1175
    z3, z4 = z5 - z3 * F1961, z5 - z4 * F390
    z1, z2 = -z1 * F899, -z2 * F2562
    return a * F298 + z1 + z3, b * F2053 + z2 + z4, c * F3072 + z2 + z3, d * F1501 + z1 + z4


def dct_of(x: list[int]) -> list[int]:
    """libjpeg's 8-point DCT, times 2^13, before it rounds. It is linear."""
    s = [x[k] + x[7 - k] for k in range(4)]
    d = [x[k] - x[7 - k] for k in range(4)]
    even, other, low, high = s[0] + s[3], s[1] + s[2], s[0] - s[3], s[1] - s[2]
    z = (low + high) * F541
    o7, o5, o3, o1 = odd_part(d[3], d[2], d[1], d[0])
    one = 1 << BITS
    return [
        (even + other) * one, o1, z + low * F765, o3, (even - other) * one, o5, z - high * F1847, o7
    ]  # fmt: skip


def inverse_dct_of(x: list[int]) -> list[int]:
    """libjpeg's inverse, times 2^13, before it rounds."""
    z = (x[2] + x[6]) * F541
    t2, t3 = z - x[6] * F1847, z + x[2] * F765
    t0, t1 = (x[0] + x[4]) << BITS, (x[0] - x[4]) << BITS
    even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3]
    odd = odd_part(x[7], x[5], x[3], x[1])[::-1]
    return [e + o for e, o in zip(even, odd, strict=True)] + [
        e - o for e, o in zip(even[::-1], odd[::-1], strict=True)
    ]


def constants() -> list[float]:
    """The matrices `[8, 8]` of both transforms and the two tables `[8, 8]`, one after the other: 256 numbers."""
    units = [[int(i == j) for i in range(8)] for j in range(8)]
    numbers: list[int] = []
    for transform in (dct_of, inverse_dct_of):
        columns = [transform(unit) for unit in units]
        numbers += [columns[j][i] for i in range(8) for j in range(8)]
    return [float(number) for number in (*numbers, *LUMINANCE, *CHROMINANCE)]
