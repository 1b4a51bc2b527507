"""Words on the command line that a command cannot use, refused in one line before tyro parses them.

tyro answers with boxes of several lines, in the terms of programmers (`INT`, `invalid literal for int()`).
"""

from collections import deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from fastsr.cli.help import Option
from fastsr.console import listed
from fastsr.errors import UserError

KINDS = {int: "a whole number", float: "a number"}


def usable_words(
    name: str, options: Iterable[Option], words: Iterable[str], may_take_a_value: Collection[str]
) -> list[str]:
    """The words with options first: tyro takes no image behind an option that stands behind an image.

    Raises UserError naming the first word that `fastsr NAME` cannot use, or what it lacks.

    Args:
        options: all that the command has. may_take_a_value: switches that a value may follow.
    """
    known = [*options]
    flags = {flag: option for option in known if not option.is_positional for flag in option.names}
    given: set[str] = set()
    ordered: list[str] = []
    loose: list[str] = []
    waiting = deque(words)
    while waiting:
        word = waiting.popleft()
        if word == "--":  # none behind it is an option
            loose += waiting
            break
        if not is_flag(word):
            loose.append(word)
            continue
        written, equals, value = word.partition("=")
        flag = written.replace("_", "-")
        if flag not in flags:
            refuse_option(name, written, flags)
        given.add(flags[flag].flag)
        attached = [value] if equals else []
        values = taken(flags[flag], attached, waiting, flag in may_take_a_value)
        check_values(name, flags[flag], flag, values)
        ordered += [word, *values[len(attached) :]]
    check_places(name, [option for option in known if option.is_positional], loose)
    lacking = [
        f"{option.flag} {option.metavar}"
        for option in known
        if option.is_required and not option.is_positional and option.flag not in given
    ]
    if lacking:
        raise UserError(f"fastsr {name} needs {listed(lacking)}{see(name)}")
    return [*ordered, "--", *loose] if loose else ordered


def is_flag(word: str) -> bool:
    """True for an option; -1 and -inf are values."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha() and not is_number(word, float)


def taken(
    option: Option, attached: list[str], waiting: deque[str], may_take_a_value: bool
) -> list[str]:
    """The values of an option, which are taken from the words that wait."""
    values = [*attached]
    most = len(waiting) if is_several(option) else 1 if takes_one(option) or may_take_a_value else 0
    while waiting and len(values) < most and waiting[0] != "--" and not is_flag(waiting[0]):
        values.append(waiting.popleft())
    return values


def is_several(option: Option) -> bool:
    return get_origin(option.hint) is tuple


def takes_one(option: Option) -> bool:
    return option.hint is not bool and not is_several(option)


def check_values(name: str, option: Option, flag: str, values: list[str]) -> None:
    if takes_one(option) and not values:
        raise UserError(f"{flag} lacks its value, {option.metavar}{see(name)}")
    if option.hint is bool and values and flag != "--resume":
        raise UserError(f"{flag} takes no value, and {values[0]} is given{see(name)}")
    for value in values if option.hint is not bool else ():
        check_value(name, flag, option.hint, value)


def check_value(name: str, what: str, hint: Any, value: str) -> None:
    """Raises UserError where the text is no value of the type."""
    hint = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if not any(fits(value, one) for one in alternatives(hint)):
        usable = [described(one) for one in alternatives(hint)]
        raise UserError(
            f"{what} {value}".strip() + f" cannot be used; use {' or '.join(usable)}{see(name)}"
        )


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union; else the type itself."""
    return get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)


def fits(value: str, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in map(str, get_args(hint))
    return hint in (str, Path) or is_number(value, hint)


def is_number(value: str, kind: type) -> bool:
    with suppress(ValueError):
        kind(value)
        return True
    return False


def described(hint: Any) -> str:
    """The values of a type in words."""
    if get_origin(hint) is not Literal:
        return KINDS[hint]
    words = [str(one) for one in get_args(hint)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def check_places(name: str, places: list[Option], loose: list[str]) -> None:
    """Checks words that belong to no option against the arguments that are told apart by their places."""
    if len(loose) < len(places):
        lacking = [wanted(place) for place in places[len(loose) :]]
        raise UserError(f"fastsr {name} needs {listed(lacking)}{see(name)}")
    if not places or (len(loose) > len(places) and not is_several(places[-1])):
        for word in loose[len(places) :]:
            raise UserError(f"fastsr {name} has no use for '{word}'{see(name)}")
    for place, word in zip([*places, *places[-1:] * len(loose)], loose, strict=False):
        check_value(name, "", place.hint, word)


def wanted(place: Option) -> str:
    """An argument that is lacking, in words."""
    (hint,) = get_args(place.hint)[:1] or (place.hint,)
    if get_origin(hint) is Literal:
        return f"some of {' '.join(map(str, get_args(hint)))}"
    return place.metavar


def refuse_option(name: str, flag: str, known: Collection[str]) -> NoReturn:
    near = meant(flag, known)
    raise UserError(f"fastsr {name} has no option {flag}; {near}fastsr {name} --help lists them")


def unknown_command(word: str, known: Collection[str]) -> str:
    near = "" if word.startswith("-") else meant(word, known)
    return f"no command '{word}'; {near}fastsr --help lists them"


def meant(word: str, known: Collection[str]) -> str:
    """A question for the word that is nearest, where one is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.75)
    return f"is {near[0]} meant? " if near else ""


def see(name: str) -> str:
    return f"; see fastsr {name} --help"
