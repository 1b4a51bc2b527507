"""The steps done, and the learning rate that belongs to them."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Schedule:
    """The step counter and the learning rate of the next step: base * gamma^(milestones passed).

    Both stay on the device and where they are: steps read and change them without the host.
    """

    def __init__(
        self, base: float, gamma: float, milestones: Sequence[int], device: torch.device
    ) -> None:
        def scalar(value: float) -> Tensor:
            return torch.tensor(value, dtype=torch.float32, device=device)

        self.gamma, self.lr = scalar(gamma), scalar(base)
        self.rates = [(scalar(base), self.lr)]
        """The initial and the present learning rate: of all peers, and of each that has its own."""
        self.milestones = torch.tensor(milestones, dtype=torch.int64, device=device)
        self.step_count = torch.zeros((), dtype=torch.int64, device=device)
        """Steps done, pre-training included; also the counter that patches are drawn by."""

    def own_lr(self, base: float | None) -> Tensor:
        """The learning rate of a peer: that of all, or its own, which follows the same milestones."""
        if base is None:
            return self.lr
        self.rates.append((torch.full_like(self.lr, base), torch.full_like(self.lr, base)))
        return self.rates[-1][1]

    def state(self) -> list[Tensor]:
        """Every tensor that a step changes and a later one reads."""
        return [*(lr for _, lr in self.rates), self.step_count]

    def advance(self) -> None:
        """Counts one step and sets the learning rate of the next."""
        self.step_count += 1
        self.set_lr()

    def seek(self, step: int) -> None:
        """Goes on from `step` steps done."""
        self.step_count.fill_(step)
        self.set_lr()

    def set_lr(self) -> None:
        passed = (self.step_count >= self.milestones).sum()
        factor = self.gamma**passed
        for base, lr in self.rates:
            lr.copy_(base * factor)
