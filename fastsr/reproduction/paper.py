"""The paper's experiment and its results: Tables 1 (x2) and 2 (x4), PSNR in dB and PI, of the three variants."""

from math import nan

from fastsr.config.mixing import ML_STAR_TEMPERATURE
from fastsr.config.settings import CohortConfig

BASELINE = "Independent"
TAUGHT = ("ML", "ML*")
VARIANTS = (BASELINE, *TAUGHT)
SETS = ("Set5", "Set14", "BSD100", "Urban100")

RESULTS: dict[tuple[int, str], dict[str, tuple[float, float, float]]] = {
    (2, "psnr_rgb"): {
        "Set5": (32.191, 32.789, 32.465),
        "Set14": (29.649, 30.365, 30.139),
        "BSD100": (28.352, 28.826, 28.498),
        "Urban100": (27.640, 28.123, 27.802),
    },
    (2, "pi"): {
        "Set5": (2.766, 2.716, 2.629),
        "Set14": (2.763, 2.637, 2.638),
        "BSD100": (2.421, 2.362, 2.329),
        "Urban100": (3.828, 3.832, 3.772),
    },
    (4, "psnr_rgb"): {
        "Set5": (26.960, 27.469, 27.119),
        "Set14": (25.129, 25.740, 25.421),
        "BSD100": (24.172, 24.362, 24.075),
        "Urban100": (23.407, 23.675, 23.429),
    },
    (4, "pi"): {
        "Set5": (3.124, 3.194, 3.111),
        "Set14": (2.811, 2.935, 2.853),
        "BSD100": (2.388, 2.446, 2.463),
        "Urban100": (3.338, 3.400, 3.383),
    },
}
"""By scale and metric: for each test set Independent, ML, ML*."""
PSNR_PROTOCOL = (
    "The paper does not say how its PSNR is measured. Its numbers stand beside PSNR-RGB, which is an inference: they "
    "fit RGB without a crop (its Independent has 26.96 dB on Set5 at x4; bicubic has 26.69 in RGB, and 28.43 on "
    "cropped luma), and the TensorFlow code that it seems to descend from calls `tf.image.psnr` on RGB."
)


def published(scale: int, metric: str, test_set: str, variant: str) -> float:
    """The paper's number, NaN where it has none. `test_set` in any case; B100 is BSD100."""
    name = {"b100": "bsd100"}.get(test_set.lower(), test_set.lower())
    rows = {key.lower(): values for key, values in RESULTS.get((scale, metric), {}).items()}
    return rows[name][VARIANTS.index(variant)] if name in rows and variant in VARIANTS else nan


def three_pairs(temperature: float = ML_STAR_TEMPERATURE) -> CohortConfig:
    """Six peers on identical patches: two that learn alone, two by ML, two by ML* with that temperature.

    The three pairs begin with the same two initial weights: they differ by who teaches whom, and by nothing else.
    """
    teacher = {2: 3, 3: 2, 4: 5, 5: 4}
    matrix = tuple(tuple(float(teacher.get(k) == j) for j in range(6)) for k in range(6))
    return CohortConfig(
        peers=6,
        mixing_matrix=matrix,
        temperature=(1, 1, 1, 1, temperature, temperature),
        starts=(0, 1) * 3,
    )
