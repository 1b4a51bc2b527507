"""Telemetry of a run while it trains: metrics.jsonl, TensorBoard, pictures, and the screen."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from fastsr.cohort.ring import opinions
from fastsr.cohort.step import Stage
from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, Term, terms_of
from fastsr.config.fixed import BICUBIC, validation_label
from fastsr.config.mixing import divergence_weights
from fastsr.config.peers import adversarial_weights, peer_settings
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.errors import UserError
from fastsr.evaluation.validate import Score
from fastsr.prediction.duration import stage_weights
from fastsr.training.pictures import as_tensor
from fastsr.training.progress import Display, Pace, Screen
from fastsr.training.ranks import straggler, straggler_line
from fastsr.training.run import Run
from fastsr.training.stopwatch import Stopwatch

CPU = torch.device("cpu")


class Telemetry:
    """Reports a run while it trains. A context manager: leaving it ends the display and closes the log files."""

    def __init__(
        self,
        run: Run,
        console: Console,
        config: TrainConfig,
        *,
        start: int = 0,
        device: torch.device = CPU,
    ) -> None:
        self.run, self.config = run, config
        with written(run.folder):
            # Events of a previous attempt from this step on are hidden: those after the checkpoint continued from.
            self.writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1)
            meanings = (
                f"* **{t.name}**: {t.meaning} ({t.unit})"
                for t in terms_of(config.loss, (*PRETRAINING_TERMS, *TRAINING_TERMS))
            )
            self.writer.add_text("metrics", "\n".join(meanings), start)
        weights, total = stage_weights(config, device), config.total_steps
        warming = config.optim.pretrain_steps
        between = warming + config.optim.warm_discriminator
        self.pace = Pace(start, tuple(zip((warming, between, total), weights, strict=True)))
        self.screen = Screen(start, total, self.pace)
        self.display = Display(console, self.screen, config.output.verbose)
        self.stopwatch = Stopwatch()
        self.last_step, self.last_time = start, time.perf_counter()
        self.named_late: set[int] = set()
        """Ranks that hold up the others, and were named once."""

    def __enter__(self) -> "Telemetry":
        self.display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.display.__exit__()
        with suppress(OSError):  # of a full disk, which has been told already
            self.writer.close()

    def begin_stage(self, name: str, step: int) -> None:
        """From now on steps take another time."""
        self.pace.restart(step)
        self.screen.step, self.screen.stage, self.screen.peers = step, name, []
        self.last_time = time.perf_counter()

    def tick(self, step: int) -> None:
        """A step was started: the bar moves. Nothing waits for the device."""
        if self.pace.tick(step):
            self.screen.step = step

    @contextmanager
    def doing(self, activity: str, kind: str) -> Generator[None, None, None]:
        """Names what takes long while it happens. Its time does not count as training, but as that kind of work."""
        began = time.perf_counter()
        with self.display.doing(activity), self.stopwatch.aside(kind):
            yield
        seconds = time.perf_counter() - began
        self.pace.leave_out(seconds)
        self.last_time += seconds

    def train_row(
        self,
        step: int,
        stage: Stage,
        scalars: dict[str, float],
        rows_RPT: Tensor,
        logits_2PE: Tensor | None,
        busy: Sequence[float] = (),
    ) -> None:
        """Reports the mean of the rows since the last report, fp32 `[R, P, T]`, and the last step's logits, if any.

        Args:
            scalars: the learning rate `lr`, and in training the `content_weight`.
            busy: seconds a step that each rank worked, waiting for others left out; told where there are several.
        """
        means_PT: list[list[float]] = rows_RPT.double().mean(0).tolist()
        peers = [dict(zip(stage.terms, values, strict=True)) for values in means_PT]
        rate = self.rate(step)
        row = {"kind": "train", "step": step, "stage": stage.name, **scalars, "peers": named(peers)}
        row |= opinions(logits_2PE.cpu()) if logits_2PE is not None else {}
        share = round(self.stopwatch.share, 4)
        wall: dict[str, Any] = {
            "steps_per_second": rate,
            "training_share": share,
            "time": time.time(),
        }
        if len(busy) > 1:
            wall["rank_seconds"] = [float(f"{seconds:.3g}") for seconds in busy]
        self.run.append_metrics({**row, "wall": wall})
        with written(self.run.folder):
            for k, peer in enumerate(named(peers)):
                for name, value in peer.items():
                    self.writer.add_scalar(f"{name}/peer {k}", value, step)
            self.writer.add_scalar("machine/steps per second", rate, step)
            self.writer.add_scalar("machine/share of time in training", share, step)
            for k, seconds in enumerate(busy if len(busy) > 1 else ()):
                self.writer.add_scalar(f"machine/seconds a step of rank {k}", seconds, step)
            self.writer.add_scalar("machine/learning rate", scalars["lr"], step)
            if "content_weight" in scalars:
                self.writer.add_scalar("machine/content weight", scalars["content_weight"], step)
            self.writer.flush()
        sums = losses(named(peers), self.config, scalars.get("content_weight", 1.0))
        self.display.row(step, stage.name, rate, peers, sums)
        late = straggler(busy)
        if late is not None and late not in self.named_late:
            self.named_late.add(late)
            say(self.display.console, straggler_line(late, busy))

    def rate(self, step: int) -> float:
        now = time.perf_counter()
        rate = (step - self.last_step) / max(now - self.last_time, 1e-9)
        self.last_step, self.last_time = step, now
        return rate

    def validation(self, step: int, scores: dict[str, Score]) -> None:
        """Reports mean scores of bicubic and each peer (EMA weights)."""
        # JSON has no infinity, which is what equal images score
        row = {
            name: {"psnr": s.psnr if isfinite(s.psnr) else None, "ssim": s.ssim}
            for name, s in scores.items()
        }
        lr = validation_label(self.config)
        self.run.append_metrics(
            {"kind": "validation", "step": step, "low_resolution": lr, "scores": row}
        )
        of = "" if lr == BICUBIC else f" (LR {lr})"
        with written(self.run.folder):
            for name, s in scores.items():
                self.writer.add_scalar(f"validation PSNR{of}/{name}", s.psnr, step)
                self.writer.add_scalar(f"validation SSIM{of}/{name}", s.ssim, step)
        self.display.validation(step, {name: s.psnr for name, s in scores.items()})

    def picture(self, step: int, picture: Image.Image) -> None:
        """Keeps the comparison picture of a validation. From any thread."""
        with written(self.run.folder):
            self.writer.add_image("comparison", as_tensor(picture).numpy(), step, dataformats="HWC")
            picture.save(self.run.pictures / f"step-{step:08d}.png")


def losses(
    peers: list[dict[str, float]], config: TrainConfig, content_weight: float
) -> dict[str, list[float]]:
    """The losses of G and D of each peer, as they are minimised; of those that learn in this stage."""
    if "pixel" in peers[0]:
        return {"G": [peer["pixel"] for peer in peers]}
    of_d = [
        peer["bce_real"] + peer["bce_fake"] + weight * (peer["kl_real"] + peer["kl_fake"])
        for peer, weight in zip(peers, divergence_weights(config.cohort), strict=True)
    ]
    if "content" not in peers[0]:
        return {"D": of_d}
    own = [peer.content_weight for peer in peer_settings(config)]
    content = [content_weight if weight is None else weight for weight in own]
    weighed = zip(peers, content, adversarial_weights(config), strict=True)
    of_g = [c * p["content"] + a * p["adversarial"] for p, c, a in weighed]
    return {"G": of_g, "D": of_d}


def named(peers: list[dict[Term, float]]) -> list[dict[str, float]]:
    return [{term.name: value for term, value in peer.items()} for peer in peers]


@contextmanager
def written(folder: Path) -> Generator[None, None, None]:
    """Says in one line that a run's folder cannot be written, for example as the disk is full."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{folder} cannot be written ({reason}); free space, then --resume"
        ) from error
