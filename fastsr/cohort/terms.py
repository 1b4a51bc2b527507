"""The loss terms that a step reports."""

TERMS = ("content", "adversarial", "bce_real", "bce_fake", "kl_real", "kl_fake", "d_prob_real", "d_prob_fake")
PRETRAIN_TERMS = ("pixel",)
MEANINGS = {
    "pixel": "mean squared error of pixels, the pre-training loss",
    "content": "content loss of G, unweighted",
    "adversarial": "adversarial loss of G, -ln D(G(lr)), unweighted",
    "bce_real": "loss of D on real images, -ln D(hr)",
    "bce_fake": "loss of D on generated images, -ln(1 - D(G(lr)))",
    "kl_real": "divergence of D from its teachers on real images, weighted by the mixing matrix and T^2",
    "kl_fake": "the same on generated images",
    "d_prob_real": "probability that D gives real images of being real, mean over the batch; 0.5: cannot tell",
    "d_prob_fake": "probability that D gives generated images of being real, mean over the batch; 0.5: cannot tell",
}
