"""Recipes."""

from fastsr.cohort import peer
from fastsr.config.check import check
from fastsr.config.mixing import mixing_matrix
from fastsr.config.recipes import demo, paper


def test_recipes() -> None:
    assert check(paper()) == paper()
    assert check(demo()) == demo()
    assert not demo().images.data


def test_the_paper_recipe_has_the_papers_numbers() -> None:
    config = paper()
    assert (config.model.blocks, config.model.filters, config.model.discriminator_filters) == (
        32,
        64,
        64,
    )
    assert (config.images.batch, config.images.patch, config.model.scale) == (16, 96, 4)
    assert (config.optim.steps, config.optim.pretrain_steps) == (50_000, 0)
    assert (config.optim.lr, config.optim.lr_milestones) == (1e-4, ())
    assert (config.cohort.peers, config.cohort.variant, config.cohort.kl_weight) == (2, "ml", 1.0)
    assert (config.loss.content, config.loss.adversarial_weight) == ("vgg54", 1e-3)
    assert (peer.BETA1, config.optim.beta2) == (0.9, 0.999)
    assert mixing_matrix(config.cohort) == [[0, 1], [1, 0]]


def test_the_demo_needs_no_download() -> None:
    config = demo()
    assert config.loss.content == "pixel"
    assert config.images.data == ()
    assert config.optim.pretrain_steps > 0 < config.optim.steps
