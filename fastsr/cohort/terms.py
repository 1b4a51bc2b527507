"""The loss terms that a step reports: the one place that says what they are called and what they mean.

No torch here: reports read this.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One number that a step reports of each peer."""

    name: str
    """In metrics.jsonl and TensorBoard."""
    short: str
    """In lines and tables of a terminal."""
    meaning: str
    unit: str


PRETRAINING_TERMS = (
    Term("pixel", "pixel MSE", "pre-training loss of G", "mean squared error, pixels 0 to 1"),
)
"""The columns of a pre-training step's row."""
TRAINING_TERMS = (
    Term("content", "content", "content loss of G", "loss, unweighted"),
    Term("adversarial", "adversarial", "adversarial loss of G, -ln D(G(lr))", "nats, unweighted"),
    # With --adversarial lsgan and relativistic these three are that term's values.
    Term("bce_real", "BCE real", "loss of D on real images, -ln D(hr)", "nats"),
    Term("bce_fake", "BCE fake", "loss of D on generated images, -ln(1 - D(G(lr)))", "nats"),
    Term(
        "kl_real", "KL real", "KL of D to its teachers, real images", "nats, weighted by M and T^2"
    ),
    Term(
        "kl_fake",
        "KL fake",
        "KL of D to its teachers, generated images",
        "nats, weighted by M and T^2",
    ),
    Term("d_prob_real", "D(real)", "what D says of real images", "probability of real, batch mean"),
    Term(
        "d_prob_fake",
        "D(fake)",
        "what D says of generated images",
        "probability of real, batch mean",
    ),
)
"""The columns of an adversarial step's row, in order."""
WARMING_TERMS = TRAINING_TERMS[2:]
"""The columns of a step in which discriminators alone learn."""
