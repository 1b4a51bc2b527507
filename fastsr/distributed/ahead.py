"""Logits that are sent steps before they are used, so that a slow link is hidden behind computing.

Logits can be compared on the same images alone. So what is old here is not the images: after step t every peer looks at
the patches of step t + lag, which follow from their number, and sends what it thinks of them. Students meet these
images `lag` steps later, with teachers whose weights are that old.

Axes: P peers of the cohort and p of this rank, E logits of one peer on a batch and e on a slice.
"""

from collections import deque
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.data.sampler import PatchSource
from fastsr.distributed.mesh import Mesh
from fastsr.distributed.share import RankShare, all_gather_single
from fastsr.distributed.world import Ranks
from fastsr.models.base import kept_statistics


class AheadShare(RankShare):
    """The share of a rank that does not wait for logits of this step: others' are those that were sent ahead."""

    teachers_2PE: Tensor | None = None
    """Of all peers, sent ahead for this step; None while logits are exchanged in the step, as before the first."""

    def __init__(
        self, world: Ranks, mesh: Mesh, peers: int, device: torch.device, lag: int
    ) -> None:
        super().__init__(world, mesh, peers, device)
        self.lag = lag

    def gather_logits(self, z_2pe: Tensor) -> Tensor:
        if self.teachers_2PE is None:
            return super().gather_logits(z_2pe)
        z_2PE, each = self.teachers_2PE.clone(), z_2pe.shape[2]
        mine = slice(self.peers[0], self.peers[-1] + 1)
        z_2PE[:, mine, self.part * each : (self.part + 1) * each] = z_2pe
        return z_2PE


class Ahead:
    """Sends logits ahead, and has them at hand when their step comes. No part of the step: steps are called between.

    What is on its way belongs to a checkpoint: a resumed run learns from the very logits that one would have that was
    never stopped.
    """

    def __init__(self, cohort: Cohort, patches: PatchSource, share: AheadShare) -> None:
        self.cohort, self.patches, self.share = cohort, patches, share
        self.arrived: deque[Tensor] = deque()
        """Logits `[2, P, E]` for the next steps, as a checkpoint had them or as they came before training stopped."""
        self.sent: deque[tuple[dist.Work, Tensor, Tensor]] = deque()
        """Those for the steps after."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the logits of a step, `[2, P, E]`."""
        return 2, self.cohort.config.cohort.peers, self.cohort.maps.most

    def begin(self, step: int) -> None:
        """Before step `step` and the first that is not exchanged within: all that are on their way by then are sent."""
        self.share.teachers_2PE = torch.zeros(self.shape, device=self.cohort.device)
        for ahead in range(len(self.arrived), self.share.lag):
            self.send(step + ahead)

    def restore(self, teachers: Tensor | None) -> None:
        """Takes what `on_the_way` gave when the run was saved. Without, or with a lag that was edited, all is new."""
        if teachers is not None and teachers.shape == (self.share.lag, *self.shape):
            self.arrived.extend(teachers.to(self.cohort.device))

    def on_the_way(self) -> Tensor | None:
        """Logits `[lag, 2, P, E]` for the next steps, on the host; waits for them. None before any are sent."""
        logits = [
            *self.arrived,
            *(self.received(work, gathered) for work, gathered, _ in self.sent),
        ]
        return torch.stack(logits).cpu() if logits else None

    def around(self, body: Callable[[], None], step: Callable[[], int]) -> Callable[[], None]:
        """The body of step number `step()`, with what belongs before and behind it."""

        def call() -> None:
            self.receive()
            body()
            self.send(step() + self.share.lag)

        return call

    def send(self, step: int) -> None:
        """Looks at the patches of a step to come, and sets out to tell the others."""
        z_2pe = self.share.filled(self.look(step), 1)
        count = dist.get_world_size(self.share.everyone)
        gathered = z_2pe.new_empty((count * 2, *z_2pe.shape[1:]))
        work = all_gather_single(gathered, z_2pe, group=self.share.everyone, async_op=True)
        self.sent.append((work, gathered, z_2pe))

    def receive(self) -> None:
        """Waits for the logits of this step, which were sent long ago."""
        assert self.share.teachers_2PE is not None
        if self.arrived:
            z_2PE = self.arrived.popleft()
        else:
            work, gathered, _ = self.sent.popleft()
            z_2PE = self.received(work, gathered)
        self.share.teachers_2PE.copy_(z_2PE)

    def received(self, work: dist.Work, gathered: Tensor) -> Tensor:
        """Logits `[2, P, E]` that all have sent, once they are there."""
        with self.share.waiting():
            work.wait()
        return self.share.in_order(gathered.unflatten(0, (-1, 2)))

    @torch.no_grad()
    def look(self, step: int) -> Tensor:
        """Logits `[2, p, e]` of this rank's peers on real and generated patches of a step. They learn nothing by it."""
        cohort = self.cohort
        cut = [self.share.cut(x) for x in self.patches.draw_aside(step)]
        lr_NChw, hr_NCHW = cohort.arrange((cut[0], cut[1]))
        z_real: list[Tensor] = []
        z_fake: list[Tensor] = []
        for peer in cohort.peers:
            with (
                kept_statistics(peer.generator),
                kept_statistics(peer.discriminator),
                cohort.precision.autocast(cohort.device),
            ):
                z_real.append(peer.discriminator(hr_NCHW).flatten())
                z_fake.append(peer.discriminator(peer.generator(lr_NChw)).flatten())
        logits = cohort.maps.filled([*z_real, *z_fake], self.share.parts)
        return logits.unflatten(0, (2, -1))

    def end(self) -> None:
        """Waits for what is still on its way, which is kept; from here on logits are exchanged in the step."""
        self.arrived.extend(self.received(work, gathered) for work, gathered, _ in self.sent)
        self.sent.clear()
        self.share.teachers_2PE = None
