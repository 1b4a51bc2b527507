"""The loss terms that a step reports: the one place that says what they are called and what they mean.

No torch here: reports read this.
"""

from dataclasses import dataclass, replace

from fastsr.config.settings import AdversarialName, LossConfig


@dataclass(frozen=True)
class Term:
    """One number that a step reports of each peer."""

    name: str
    """In metrics.jsonl and TensorBoard."""
    short: str
    """In lines and tables of a terminal."""
    meaning: str
    unit: str


PROBABILITY = "probability of real, batch mean"
PRETRAINING_TERMS = (
    Term("pixel", "pixel MSE", "pre-training loss of G", "mean squared error, pixels 0 to 1"),
)
"""The columns of a pre-training step's row; `terms_of` has their words for other losses."""
TRAINING_TERMS = (
    Term("content", "content", "content loss of G", "loss, unweighted"),
    Term("adversarial", "adversarial", "adversarial loss of G, -ln D(G(lr))", "nats, unweighted"),
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
    Term("d_prob_real", "D(real)", "what D says of real images", PROBABILITY),
    Term(
        "d_prob_fake",
        "D(fake)",
        "what D says of generated images",
        PROBABILITY,
    ),
)
"""The columns of an adversarial step's row, in order; `terms_of` has their words for other losses."""
WARMING_TERMS = TRAINING_TERMS[2:]
"""The columns of a step in which discriminators alone learn."""

LOGIT = "sigmoid of the logit, batch mean"
OTHER_WORDS: dict[AdversarialName, dict[str, tuple[str, str, str]]] = {
    "vanilla": {},
    "lsgan": {
        "adversarial": ("adversarial", "adversarial loss of G, (z - 1)^2 of generated images", "squares, unweighted"),
        "bce_real": ("squares real", "loss of D on real images, (z - 1)^2 of their logits z", "squares"),
        "bce_fake": ("squares fake", "loss of D on generated images, z^2 of their logits z", "squares"),
        "d_prob_real": ("D(real)", "what D says of real images; least squares aim at 0.73", LOGIT),
        "d_prob_fake": ("D(fake)", "what D says of generated images; least squares aim at 0.5", LOGIT),
    },
    "relativistic": {
        "adversarial": ("adversarial", "adversarial loss of G, generated against mean real one", "nats, unweighted"),
        "bce_real": ("rel. real", "loss of D on real images, against the mean generated one", "nats"),
        "bce_fake": ("rel. fake", "loss of D on generated images, against the mean real one", "nats"),
        "d_prob_real": ("D(real)", "what D says of real images; only the distance to generated ones is trained", LOGIT),
        "d_prob_fake": ("D(fake)", "what D says of generated images; only the distance to real ones is trained", LOGIT),
    },
}  # fmt: skip
"""Short name, meaning and unit of terms that are not those of binary cross entropy. Their columns keep their names."""


def terms_of(loss: LossConfig, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Terms in the words of the losses that are trained on; their names, and so their columns, stay."""
    words = dict(OTHER_WORDS[loss.adversarial])
    if loss.pixel_loss == "l1":
        unit = "mean absolute difference, pixels 0 to 1"
        words["pixel"] = ("pixel L1", "pre-training loss of G", unit)
    return tuple(
        replace(term, short=own[0], meaning=own[1], unit=own[2])
        if (own := words.get(term.name))
        else term
        for term in terms
    )
