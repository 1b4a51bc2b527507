"""`fastsr data`: data sets of the field, packs of decoded images, and patches as training sees them."""

import shlex
from dataclasses import replace

from rich.console import Console

from fastsr.cli.arguments import FetchArguments, ListArguments, PacksArguments
from fastsr.cli.configuration import asks_for_help, parse, show
from fastsr.cli.preview import PreviewArguments, write_preview
from fastsr.config.recipes import paper
from fastsr.console import counted, say
from fastsr.errors import UserError
from fastsr.files import default_cache, default_data_root

DATA_HELP = """usage: fastsr data COMMAND [options]

  fetch     download data sets: div2k set5 set14 bsd100 urban100
  list      which there are, and which of them are here
  preview   patches with blind degradations, on one page
  packs     decoded images that are kept for training, their size and age

fastsr data COMMAND --help lists the options.

examples:
  fastsr data list
  fastsr data fetch set5 set14
"""


def run_data(words: list[str]) -> None:
    if asks_for_help(words[:1]):
        show(DATA_HELP)
    if not words or words[0] not in ("fetch", "list", "packs", "preview"):
        raise UserError("fastsr data takes a word more: fetch NAMES, list, packs, or preview")
    if words[0] == "preview":
        write_preview(parse("data preview", PreviewArguments, words[1:]))
        return
    if words[0] == "packs":
        list_packs(parse("data packs", PacksArguments, words[1:]))
        return
    if words[0] == "list":
        from fastsr.download.catalogue import print_listing

        root = parse("data list", ListArguments, words[1:]).root
        print_listing(root or default_data_root(), Console())
        return
    from fastsr.download.catalogue import DATASETS

    known = [word.lower() if word.lower() in DATASETS else word for word in words[1:]]
    arguments = parse("data fetch", FetchArguments, known)
    fetch_and_pack(arguments)


def list_packs(arguments: PacksArguments) -> None:
    from fastsr.data.packs import find_packs, packs_table, prune_packs  # imports torch

    cache, console = arguments.cache or default_cache(), Console()
    for pack in prune_packs(cache) if arguments.prune else []:
        say(console, f"deleted {pack.folder}, {pack.room} of {pack.source}")
    packs = find_packs(cache)
    if packs:
        console.print(packs_table(packs, cache))
    else:
        say(console, f"no packs in {cache / 'packs'}")


def fetch_and_pack(arguments: FetchArguments) -> None:
    """Downloads data sets, and packs those that are trained on."""
    from fastsr.download.catalogue import DATASETS
    from fastsr.download.fetch import fetch

    console, root = Console(), arguments.root or default_data_root()

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    for folder in fetch(arguments.names, root, tell, console=console):
        tell(str(folder))
    for name in arguments.names:
        if DATASETS[name].use == "train":
            from fastsr.config.settings import ImagesConfig
            from fastsr.training.setup import open_images  # imports torch

            train_folder = DATASETS[name].folders(root)[0]
            images = ImagesConfig(data=(train_folder,), cache=arguments.cache)
            store = open_images(replace(paper(), images=images), console)
            command = f"fastsr train --data {shlex.quote(str(train_folder))} --amp --compile"
            tell(f"packed {counted(len(store), 'image')}. Train: {command}")
