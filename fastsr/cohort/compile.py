"""torch.compile for a cohort, and the settings of it that compiled blocks rely on."""

from collections.abc import Collection

import torch._dynamo.config as dynamo_config
import torch._functorch.config as functorch_config
import torch._inductor.config as inductor_config

from fastsr.cohort.cohort import Cohort


def compile_cohort(
    cohort: Cohort,
    networks: Collection[str] = ("generator", "discriminator", "content"),
    templates: Collection[str] | None = None,
) -> None:
    """Compiles those networks in place, by default all. The first step then takes longer.

    Args:
        templates: networks for whose convolutions inductor's templates are timed; None: all where --autotune is given.
    """
    machine = cohort.config.machine
    prepare_compiler(machine.combine_kernels)
    timed = (networks if machine.autotune else ()) if templates is None else templates
    if "content" in networks:
        cohort.content.compile_blocks("content" in timed)
    for peer in cohort.peers:
        peer.compile(networks, timed)


def prepare_compiler(combine_kernels: bool = False) -> None:
    """Settings of torch.compile, for the process: some that compiled blocks of ours rely on, and those of the user.

    Args:
        combine_kernels: independent kernels of one block are launched as one. Of the paper's step (x4, two peers, bf16)
            that took 535 of 3320 nodes, counted when weights were still cast one by one.
    """
    # Activations of D go backward twice; a compiled block that reuses their memory for gradients would spoil that.
    functorch_config.donated_buffer = False
    # Blocks of one class share one cache, with an entry for each shape: D alone has 7, and 8 is torch's limit.
    dynamo_config.recompile_limit = 64
    inductor_config.combo_kernels = combine_kernels
