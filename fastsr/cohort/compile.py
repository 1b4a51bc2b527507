"""torch.compile for a cohort, and the settings of it that compiled blocks rely on."""

import torch._dynamo.config as dynamo_config
import torch._functorch.config as functorch_config
import torch._inductor.config as inductor_config

from fastsr.cohort.cohort import Cohort


def compile_cohort(cohort: Cohort) -> None:
    """Compiles every network in place. The first step then takes longer."""
    prepare_compiler(cohort.config.machine.autotune)
    cohort.content.compile_blocks()
    for peer in cohort.peers:
        peer.compile()


def prepare_compiler(autotune: bool = False) -> None:
    """Settings of torch.compile, for the process: some that compiled blocks of ours rely on, and `--autotune`."""
    # Activations of D go backward twice; a compiled block that reuses their memory for gradients would spoil that.
    functorch_config.donated_buffer = False
    # Blocks of one class share one cache, with an entry for each shape: D alone has 7, and 8 is torch's limit.
    dynamo_config.recompile_limit = 64
    inductor_config.max_autotune = autotune
