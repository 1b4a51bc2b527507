"""Logits that are sent steps ahead."""

from pathlib import Path

from tests.fastsr.distributed.ranks import run, words
from tests.fastsr.distributed.test_same_mathematics import metrics


def test_teachers_are_asked_about_the_very_images_of_the_step(images: Path, tmp_path: Path) -> None:
    """Where weights stand still, it does not matter how old they are: all that is learnt is the same, bit for bit."""
    still = {"lr": "1e-30", "steps": "14", "pretrain_steps": "4", "log_every": "1"}
    outs = tmp_path / "now", tmp_path / "ahead"
    for out, every in zip(outs, ("1", "3"), strict=True):
        given = words(images, out, **still, exchange_every=every, val_every="1000", mesh="3x1")
        run(tmp_path / f"logs-{every}", given, 3)
    now, ahead = ([row for row in metrics(out) if row["kind"] == "train"] for out in outs)
    assert len(now) == 18
    assert now == ahead
    assert all(peer["kl_fake"] > 0 for row in now[4:] for peer in row["peers"])
