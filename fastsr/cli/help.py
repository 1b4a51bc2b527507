"""The help of a command, made from the dataclass of its arguments.

tyro parses the same dataclass. Its own help shows types as `{None}|PATH` and empty defaults as `(default: )`; it cannot
name the defaults of a second recipe, leave out an option of a nested group, or end with examples. So argparse lays out
what is read here.
"""

import argparse
import ast
import inspect
import shutil
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

NAMES_OF_TYPES = {int: "N", float: "X", Path: "PATH", str: "NAME"}
MOST_COLUMNS, COLUMNS_OF_FLAGS = 100, 26
MOST_COLUMNS_OF_CHOICES = 60
EXAMPLES, NO_BREAK = "Examples:", "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Option:
    """An argument as help shows it."""

    name: str
    hint: Any
    """Its type, without what is annotated."""
    text: str
    default: Any
    other: Any
    """The value of another recipe; equal to the default where there is none."""
    is_positional: bool

    @property
    def flag(self) -> str:
        return flag(self.name)

    @property
    def is_required(self) -> bool:
        return self.is_positional or self.default is MISSING

    @property
    def names(self) -> tuple[str, ...]:
        if self.is_positional:
            return (self.name,)
        return (self.flag, f"--no-{self.flag[2:]}") if self.hint is bool else (self.flag,)

    @property
    def metavar(self) -> str:
        """The value in a word: MODEL where its place tells it apart, PATH or {a,b} behind a flag."""
        word = metavar(self.hint)
        if not self.is_positional or word.startswith("{"):
            return word
        return f"{self.name.removesuffix('s').upper()} ..." if "..." in word else self.name.upper()

    @property
    def help(self) -> str:
        """The text, and the default unless it is empty: then the text says what that means."""
        if self.is_required:
            return self.text if self.is_positional else f"{self.text} Required."
        if self.default in (None, (), ""):
            return self.text
        other = f" (demo: {shown(self.other)})" if self.other != self.default else ""
        return f"{self.text} " + f"Default: {shown(self.default)}{other}.".replace(" ", NO_BREAK)

    @property
    def layout(self) -> dict[str, Any]:
        """The words with which argparse is told."""
        value = {"action": "store_true"} if self.hint is bool else {"metavar": self.metavar}
        return {**value, "help": self.help.replace("%", "%%")}


@dataclass(frozen=True)
class Group:
    """Options under a title."""

    title: str
    description: str
    options: tuple[Option, ...]


def help_text(
    name: str, command: type, default: Any = None, other: Any = None, hidden: Collection[str] = ()
) -> str:
    """The help of `fastsr NAME`.

    Args:
        command: a dataclass, whose docstring ends with examples, and whose fields are described by docstrings.
        default: the instance whose values are the defaults; None: those of the class.
        other: another instance, whose values are named where they differ.
        hidden: flags to leave out.
    """
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    description, _, examples = (inspect.getdoc(command) or "").partition(EXAMPLES)
    first, *sections = groups(command, default, other, hidden)
    parser = argparse.ArgumentParser(
        usage=usage(name, first.options),
        add_help=False,
        description=filled(description, width),
        epilog=EXAMPLES.lower() + "\n" + textwrap.indent(inspect.cleandoc(examples), "  "),
        formatter_class=partial(
            argparse.RawDescriptionHelpFormatter, width=width, max_help_position=COLUMNS_OF_FLAGS
        ),
    )
    arguments, options = (
        parser.add_argument_group("arguments"),
        parser.add_argument_group("options"),
    )
    options.add_argument("-h", "--help", action="store_true", help="Show this help.")
    for option in first.options:
        group = arguments if option.is_positional else options
        group.add_argument(*option.names, **option.layout)
    for section in sections:
        group = parser.add_argument_group(section.title, filled(section.description, width - 2))
        for option in section.options:
            group.add_argument(*option.names, **option.layout)
    return parser.format_help().replace(NO_BREAK, " ")


def groups(
    command: type, default: Any, other: Any, hidden: Collection[str], title: str = "options"
) -> Iterator[Group]:
    """The options of a dataclass, and those of each dataclass in it, in groups that are not empty but for the first."""
    hints, texts = get_type_hints(command, include_extras=True), docstrings(command)
    nested: list[Iterator[Group]] = []
    options: list[Option] = []
    for field in fields(command):
        hint, marks = unwrapped(hints[field.name])
        name = next((mark.name for mark in marks if getattr(mark, "name", None)), field.name)
        value = default_of(field) if default is None else getattr(default, field.name)
        another = value if other is None else getattr(other, field.name)
        if is_dataclass(hint) and isinstance(hint, type):
            nested.append(groups(hint, value, another, hidden, field.name))
        elif tyro.conf.Suppress not in marks and flag(name) not in hidden:
            is_positional = tyro.conf.Positional in marks
            text = texts[field.name]
            options.append(Option(name, hint, text, value, another, is_positional))
    if options or title == "options":
        yield Group(title, inspect.getdoc(command) or "", tuple(options))
    for each in nested:
        yield from each


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def docstrings(command: type) -> dict[str, str]:
    """The strings below the fields of a dataclass, and of the dataclasses that it is derived from."""
    found: dict[str, str] = {}
    for ancestor in (one for one in command.__mro__ if is_dataclass(one)):
        body = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            match field, after:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found.setdefault(name, " ".join(text.split()))
                case _:
                    pass
    return found


def default_of(field: "Field[Any]") -> Any:
    made = field.default_factory
    return field.default if made is MISSING else made()


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without `Annotated` and without None, and what was annotated."""
    marks: tuple[Any, ...] = getattr(hint, "__metadata__", ())
    hint = hint.__origin__ if marks else hint
    if get_origin(hint) in (Union, UnionType):
        known = [one for one in get_args(hint) if one is not type(None)]
        hint = known[0] if len(known) == 1 else hint
    return hint, marks


def metavar(hint: Any) -> str:
    """The value of an option in a word: N for a number, {a,b} for a choice; with dots where there may be several.

    NAME for a choice that would not fit a line: its names stand in the description.
    """
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return f"{metavar(arguments[0])} ..."
    if get_origin(hint) is Literal:
        choices = "{" + ",".join(map(str, arguments)) + "}"
        return choices if len(choices) <= MOST_COLUMNS_OF_CHOICES else "NAME"
    if arguments:
        return "|".join(metavar(one).strip("{}") for one in arguments)
    return NAMES_OF_TYPES[hint]


def shown(value: Any) -> str:
    """A value as it is written on the command line; that of a switch in a word."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(map(shown, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def usage(name: str, options: Collection[Option]) -> str:
    needed = [
        option.metavar if option.is_positional else f"{option.flag} {option.metavar}"
        for option in options
        if option.is_required
    ]
    return " ".join([f"fastsr {name}", *needed, "[options]"])


def filled(text: str, width: int) -> str:
    return "\n\n".join(textwrap.fill(part, width) for part in text.strip().split("\n\n"))
