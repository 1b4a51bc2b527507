"""Runs a submission to the speedrun, or verifies its log: `python -m bench.speedrun plain --data DIR --test DIR`."""

import argparse
import json
import sys
from pathlib import Path

from bench.rows import circumstances
from bench.speedrun import cohort, plain
from bench.speedrun.log import LOGS, faults, source_digest, write_log
from bench.speedrun.task import SEEDS, Images, Result, Train, open_images, scored
from fastsr.errors import UserError

SUBMISSIONS: dict[str, Train] = {"plain": plain.train, "cohort": cohort.train}


def run(name: str, images: Images) -> list[Result]:
    """Trains every seed, and prints what comes out of each."""
    results: list[Result] = []
    for seed in SEEDS:
        results.append(scored(SUBMISSIONS[name], images, seed))
        print(results[-1], flush=True)
    return results


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", choices=SUBMISSIONS)
    parser.add_argument("--data", type=Path, required=True, help="BSD399")
    parser.add_argument("--test", type=Path, required=True, help="Set14's originals")
    parser.add_argument("--niqe", type=Path, help="folder with niqe_modelparameters.mat")
    parser.add_argument("--verify", action="store_true", help="train one seed again, and compare")
    options = parser.parse_args(arguments)
    file = LOGS / f"{options.record}.json"
    about = {"source_sha256": source_digest(options.record), **circumstances()}
    try:
        images = open_images(options.data, options.test, options.niqe)
    except UserError as error:
        parser.error(str(error))
    again = None
    if options.verify:
        again = scored(SUBMISSIONS[options.record], images, SEEDS[0])
    else:
        file = write_log(options.record, run(options.record, images), about)
    found = faults(json.loads(file.read_text()), again)
    print("\n".join(found) or f"{file} holds")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
