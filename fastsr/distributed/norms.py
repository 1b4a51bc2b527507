"""BN over whole batches that ranks have slices of."""

from fastsr.cohort.cohort import Cohort
from fastsr.distributed.share import RankShare
from fastsr.models.norm import synchronise


def synchronise_norms(cohort: Cohort) -> None:
    """Has the networks that are trained normalise by all slices of a batch, if the settings say so.

    Averaged generators are left alone: their statistics are measured on whole batches, on every rank alike.
    """
    share = cohort.share
    if not isinstance(share, RankShare) or share.parts == 1:
        return
    if not cohort.config.distributed.sync_batch_norm:
        return
    for peer in cohort.peers:
        for network in (peer.generator, peer.discriminator):
            synchronise(network, share.gather_slices, share.parts)
