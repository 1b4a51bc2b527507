"""Logits that are sent steps ahead."""

from pathlib import Path

from tests.fastsr.distributed.ranks import run, start, words
from tests.fastsr.distributed.test_same_mathematics import assert_equal_runs, metrics


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


def test_a_killed_run_learns_from_what_was_on_its_way(images: Path, tmp_path: Path) -> None:
    """Teachers are those that a run has which was never stopped, with weights of before the checkpoint: bit for bit."""
    outs = tmp_path / "whole", tmp_path / "killed"
    whole, killed = (words(images, out, peers="2", exchange_every="3") for out in outs)
    run(tmp_path / "logs-whole", whole, 2)
    job = start(tmp_path / "logs-killed", [killed] * 2)
    job.when(lambda: (outs[1] / "checkpoints" / "step-00000020").is_dir())
    job.kill(0)
    job.kill(1)
    job.wait()
    job = run(tmp_path / "logs-again", [*killed, "--resume"], 2)
    assert f"continuing {outs[1]} at step " in job.out(0)
    assert_equal_runs(*outs)
