"""Logs of the speedrun: what a record writes, and all that can be wrong with one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.rows import RESULTS
from bench.speedrun.task import SEEDS, Result, summary
from fastsr.files import sha256_of

LOGS = RESULTS / "speedrun"
PSNR_TOLERANCE, NIQE_TOLERANCE = 0.1, 0.15
"""Of a seed trained again, on a machine whose sums have another order; FLOPs must be equal."""


def write_log(name: str, results: list[Result], about: dict[str, Any]) -> Path:
    """Writes one JSON file: the seeds and their means.

    Args:
        about: the circumstances, and the digest of the source as it was when training began.
    """
    seeds = [asdict(one) for one in results]
    log = {"record": name, "seeds": seeds, **summary(results)}
    LOGS.mkdir(exist_ok=True)
    file = LOGS / f"{name}.json"
    file.write_text(json.dumps({**log, **about}, indent=1) + "\n")
    return file


def source_digest(name: str) -> str:
    return sha256_of(Path(__file__).with_name(f"{name}.py"))


def faults(log: dict[str, Any], again: Result | None = None) -> list[str]:
    """All that is wrong with a log.

    Args:
        again: one of its seeds, trained once more.
    """
    results = [Result(**one) for one in log["seeds"]]
    found: list[str] = []
    if tuple(one.seed for one in results) != SEEDS:
        found.append(f"the seeds are not {SEEDS}")
    wrong = [name for name, value in summary(results).items() if log.get(name) != value]
    if wrong:
        found.append(f"{', '.join(wrong)} do not follow from the seeds")
    if not summary(results)["reached"]:
        found.append("the target is not reached")
    if log["source_sha256"] != source_digest(log["record"]):
        found.append(f"{log['record']}.py has changed since")
    if again:
        found += differences(next(one for one in results if one.seed == again.seed), again)
    return found


def differences(recorded: Result, again: Result) -> list[str]:
    found: list[str] = []
    if again.teraflop != recorded.teraflop:
        found.append(f"{again.teraflop} TFLOP, not {recorded.teraflop}")
    if abs(again.psnr_rgb - recorded.psnr_rgb) > PSNR_TOLERANCE:
        found.append(f"{again.psnr_rgb:.3f} dB, not {recorded.psnr_rgb:.3f}")
    if abs(again.niqe - recorded.niqe) > NIQE_TOLERANCE:
        found.append(f"NIQE {again.niqe:.3f}, not {recorded.niqe:.3f}")
    return found
