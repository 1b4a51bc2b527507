"""The outputs of a run that people look at: a progress bar or plain lines, TensorBoard, metrics.jsonl, pictures."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path

from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from fastsr.cohort.ring import opinions
from fastsr.cohort.step import Stage
from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, Term
from fastsr.console import say
from fastsr.errors import UserError
from fastsr.evaluation.validate import Score
from fastsr.training.pictures import as_tensor
from fastsr.training.run import Run


class Telemetry:
    """Reports a run while it trains. A context manager: leaving it closes the progress bar and the log files."""

    def __init__(self, run: Run, console: Console, *, start: int, total: int) -> None:
        self.run, self.console, self.total = run, console, total
        with written(run.folder):
            # Events of a previous attempt from this step on are hidden: those after the checkpoint continued from.
            self.writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1)
            meanings = (
                f"* **{t.name}**: {t.meaning} ({t.unit})"
                for t in (*PRETRAINING_TERMS, *TRAINING_TERMS)
            )
            self.writer.add_text("metrics", "\n".join(meanings), start)
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
        )  # fmt: skip
        self.task: TaskID = self.progress.add_task(
            "training", total=total, completed=start, rate=""
        )
        self.live = (
            Live(self.progress, console=console, refresh_per_second=2)
            if console.is_terminal
            else None
        )
        self.last_step, self.last_time = start, time.perf_counter()
        self.psnr: list[float] = []

    def __enter__(self) -> "Telemetry":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()
        with suppress(OSError):  # of a full disk, which has been told already
            self.writer.close()

    def restart_clock(self) -> None:
        """Time since the last report, spent on compiling, does not count as training."""
        self.last_time = time.perf_counter()

    def train_row(
        self,
        step: int,
        stage: Stage,
        scalars: dict[str, float],
        rows_RPT: Tensor,
        logits_2PE: Tensor | None,
    ) -> None:
        """Reports the mean of the rows since the last report, fp32 `[R, P, T]`, and the last step's logits, if any.

        Args:
            scalars: the learning rate `lr`, and in training the `content_weight`.
        """
        means_PT: list[list[float]] = rows_RPT.double().mean(0).tolist()
        peers = [dict(zip(stage.terms, values, strict=True)) for values in means_PT]
        rate = self.rate(step)
        row = {"kind": "train", "step": step, "stage": stage.name, **scalars, "peers": named(peers)}
        row |= opinions(logits_2PE.cpu()) if logits_2PE is not None else {}
        self.run.append_metrics({**row, "wall": {"steps_per_second": rate, "time": time.time()}})
        with written(self.run.folder):
            for k, peer in enumerate(named(peers)):
                for name, value in peer.items():
                    self.writer.add_scalar(f"{name}/peer {k}", value, step)
            self.writer.add_scalar("machine/steps per second", rate, step)
            self.writer.add_scalar("machine/learning rate", scalars["lr"], step)
            if "content_weight" in scalars:
                self.writer.add_scalar("machine/content weight", scalars["content_weight"], step)
            self.writer.flush()
        self.show(step, stage.name, rate, peers)

    def rate(self, step: int) -> float:
        now = time.perf_counter()
        rate = (step - self.last_step) / max(now - self.last_time, 1e-9)
        self.last_step, self.last_time = step, now
        return rate

    def show(self, step: int, stage: str, rate: float, peers: list[dict[Term, float]]) -> None:
        """Shows losses and speed: in the live table, or as a plain line where there is no terminal."""
        if self.live:
            self.progress.update(
                self.task, completed=step, description=stage, rate=f"{rate:.2f} steps/s"
            )
            self.live.update(Group(self.progress, self.peer_table(peers)))
            return
        left = (self.total - step) / max(rate, 1e-9)
        texts = [
            f"peer {k}: " + " ".join(f"{term.short} {value:.4g}" for term, value in peer.items())
            for k, peer in enumerate(peers)
        ]
        minutes, seconds = divmod(round(left), 60)
        say(
            self.console,
            f"{stage} {step}/{self.total}  {rate:.2f} steps/s  {minutes}:{seconds:02d} left  |  "
            + "  |  ".join(texts),
        )

    def peer_table(self, peers: list[dict[Term, float]]) -> Table:
        table = Table(
            "peer", *(term.short for term in peers[0]), "val PSNR", box=None, padding=(0, 2)
        )
        for k, peer in enumerate(peers):
            psnr = f"{self.psnr[k]:.2f} dB" if self.psnr else ""
            table.add_row(str(k), *(f"{value:.4g}" for value in peer.values()), psnr)
        return table

    def validation(self, step: int, scores: dict[str, Score], picture: Image.Image) -> None:
        """Reports mean scores of bicubic and each peer (EMA weights) and keeps the comparison picture."""
        # JSON has no infinity, which is what equal images score
        row = {
            name: {"psnr": s.psnr if isfinite(s.psnr) else None, "ssim": s.ssim}
            for name, s in scores.items()
        }
        self.run.append_metrics({"kind": "validation", "step": step, "scores": row})
        with written(self.run.folder):
            for name, s in scores.items():
                self.writer.add_scalar(f"validation PSNR/{name}", s.psnr, step)
                self.writer.add_scalar(f"validation SSIM/{name}", s.ssim, step)
            self.writer.add_image("comparison", as_tensor(picture).numpy(), step, dataformats="HWC")
            picture.save(self.run.pictures / f"step-{step:08d}.png")
        self.psnr = [s.psnr for name, s in scores.items() if name != "bicubic"]
        texts = [f"{name} {s.psnr:.2f} dB / {s.ssim:.4f}" for name, s in scores.items()]
        say(self.console, f"validation {step}/{self.total}  " + "  ".join(texts))
        self.last_time = time.perf_counter()  # steps per second speak of training alone


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
