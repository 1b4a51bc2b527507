"""`fastsr doctor --prove`: the proof of this machine as a table, in proof.json, and in the cache."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.console import doing, say
from fastsr.errors import UserError
from fastsr.files import write_text
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.proof.known import Proofs, as_json
from fastsr.proof.parts import Part, verdict
from fastsr.proof.prove import prove
from fastsr.system.device import choose_device, set_up
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import choose_precision

FILE = Path("proof.json")


def prove_machine(config: TrainConfig, console: Console) -> bool:
    """Tries every part, prints them, and keeps those that passed. Returns whether none failed.

    Raises UserError where proof.json cannot be written, or a step does not fit.
    """
    device = choose_device(check(config).machine.device)
    set_up(device)
    precision, proofs = (
        choose_precision(config.machine.amp, device),
        Proofs.on(device, config.images.cache),
    )
    parts: list[Part] = []
    with (
        doing(console, "proving what this machine computes, about a minute"),
        out_of_memory(lambda: out_of_memory_advice(config, device)),
    ):
        for part in prove(config, device, precision):
            parts.append(part)
            write(parts, proofs, config)  # of a proof that is cut short, what was found stays
    proofs.add(parts)
    title = "proof: " + ", ".join(f"{name} {value}" for name, value in proofs.key.items())
    say(console, title)
    console.print(table(parts))
    say(console, f"{verdict(parts)}. All of it is in {FILE}")
    return not any(part.outcome == "failed" for part in parts)


def write(parts: list[Part], proofs: Proofs, config: TrainConfig) -> None:
    """Writes proof.json. Raises UserError where that cannot be done."""
    try:
        write_text(FILE, as_json(proofs.key, parts, asdict(config.machine)))
    except OSError as error:
        raise UserError(f"{FILE} cannot be written here ({error.strerror})") from None


def table(parts: list[Part]) -> Table:
    result = Table(show_header=False, box=None, padding=(0, 2))
    for no_wrap in (True, True, False):
        result.add_column(no_wrap=no_wrap, overflow="fold")
    for part in parts:
        result.add_row(part.outcome, part.name, Text(part.detail))
    return result
