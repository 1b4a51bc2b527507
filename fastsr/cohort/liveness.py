"""Shows, before training, that every enabled loss reaches the parameters that it should.

Trainers whose losses silently carry no gradient look healthy for days. This runs the real forward and backward once per
loss with all other losses switched off, and puts back what that changed.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from fastsr.cohort.cohort import Cohort, OutputGradients
from fastsr.config.peers import adversarial_weights, content_weights, peer_models
from fastsr.errors import UserError
from fastsr.system.precision import Precision


def check_liveness(cohort: Cohort, lr_NChw: Tensor, hr_NCHW: Tensor) -> None:
    """Raises UserError naming the first loss, peer and parameter without a gradient (None, zero or not finite).

    It goes on to the end even then: other processes of a cohort compute these losses at the same time.
    """
    problems: list[str] = []
    # In fp16 the first scaled gradients may overflow; that is how loss scaling finds its scale, and no dead loss.
    precision = Precision() if cohort.precision.scaled else cohort.precision
    with unchanged(cohort), cohort.in_precision(precision):
        if cohort.config.optim.pretrain_steps:
            problems += check_pretraining(cohort, lr_NChw, hr_NCHW)
        for term in enabled_terms(cohort) if cohort.config.optim.steps else []:
            backward_one(cohort, term, lr_NChw, hr_NCHW)
            for k, peer in cohort.numbered():
                network = (
                    peer.generator if term in ("content", "adversarial") else peer.discriminator
                )
                if term.startswith("kl") and not bool(cohort.mixing_PP[k].any()):
                    continue
                if term == "kl_real" and agrees(cohort, k):
                    continue
                problems += dead_parameters(term, k, network)
    if problems:
        raise UserError(problems[0])


def agrees(cohort: Cohort, k: int) -> bool:
    """True if a discriminator is its teachers', of one file: on real images they disagree only after learning."""
    here = {number: peer.discriminator.state_dict() for number, peer in cohort.numbered()}
    own, files = here[k], [model.init_discriminator for model in peer_models(cohort.config)]
    teachers = [j for j, weight in enumerate(cohort.mixing_PP[k].tolist()) if weight]
    return all(
        alike(own, here[j]) if j in here else bool(files[k]) and files[j] == files[k]
        for j in teachers
    )


def alike(own: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


def check_pretraining(cohort: Cohort, lr_NChw: Tensor, hr_NCHW: Tensor) -> list[str]:
    problems: list[str] = []
    for k, peer in cohort.numbered():
        with cohort.precision.autocast(cohort.device):
            loss = cohort.pixel(peer.generator(lr_NChw), hr_NCHW)
        loss.backward()
        problems += dead_parameters("pixel", k, peer.generator)
    return problems


def enabled_terms(cohort: Cohort) -> list[str]:
    """Names of the loss terms that have a weight with any peer, in the order in which they are checked."""
    config = cohort.config
    terms = ["bce_real", "bce_fake"]
    if any(content_weights(config)):
        terms.append("content")
    if any(adversarial_weights(config)):
        terms.append("adversarial")
    if config.cohort.kl_weight and bool(cohort.mixing_PP.any()):
        terms += ["kl_real", "kl_fake"]
    return terms


def backward_one(cohort: Cohort, term: str, lr_NChw: Tensor, hr_NCHW: Tensor) -> None:
    """The training step's forward and backward with one loss alone, at weight one."""
    for parameter in parameters(cohort):
        parameter.grad = None
    forward = cohort.forward(lr_NChw, hr_NCHW)
    loss = cohort.losses(forward)
    plain = cohort.losses(forward, torch.zeros_like(cohort.kl_weight_P))
    mine = cohort.share.mine
    nothing = torch.zeros_like(mine(plain.grad_real_PE))
    no_content = [torch.zeros_like(x) for x in forward.content_gradient]
    off = OutputGradients(nothing, nothing, nothing, no_content)
    cohort.backward(
        forward,
        {
            "content": replace(off, content=forward.content_gradient),
            "adversarial": replace(off, adversarial_PE=mine(loss.grad_adversarial_PE)),
            "bce_real": replace(off, real_PE=mine(plain.grad_real_PE)),
            "bce_fake": replace(off, fake_PE=mine(plain.grad_fake_PE)),
            "kl_real": replace(off, real_PE=mine(loss.grad_real_PE - plain.grad_real_PE)),
            "kl_fake": replace(off, fake_PE=mine(loss.grad_fake_PE - plain.grad_fake_PE)),
        }[term],
    )


def dead_parameters(term: str, k: int, network: nn.Module) -> list[str]:
    """A sentence on each gradient that is missing, not finite, or zero everywhere."""
    found: list[str] = []
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        problem = (
            "no gradient" if gradient is None
            else "a gradient that is not finite" if not bool(gradient.isfinite().all())
            else "a gradient of zero" if not bool(gradient.any())
            else None
        )  # fmt: skip
        if problem:
            found.append(
                f"the loss '{term}' gives parameter {name} of peer {k} {problem}; "
                "training would not mean what it says"
            )
    return found


def networks(cohort: Cohort) -> list[nn.Module]:
    return [network for peer in cohort.peers for network in (peer.generator, peer.discriminator)]


def parameters(cohort: Cohort) -> Iterator[nn.Parameter]:
    return chain.from_iterable(network.parameters() for network in networks(cohort))


@contextmanager
def unchanged(cohort: Cohort) -> Generator[None, None, None]:
    """Puts BN statistics back in place and clears gradients afterwards."""
    buffers = [buffer for network in networks(cohort) for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        for parameter in parameters(cohort):
            parameter.grad = None
