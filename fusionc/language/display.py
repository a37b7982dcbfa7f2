"""How a text looks on a terminal: what stands for hidden characters, and how wide the others are."""

from __future__ import annotations

import unicodedata

TAB = 4
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """A text without control characters: a picture or a number stands for each of them."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def is_hidden(char: str) -> bool:
    """Whether a character shows nothing, or changes how others are shown; tabs and the ends of lines are none."""
    return char not in "\t\n\r" and unicodedata.category(char) in HIDDEN


def character_name(char: str) -> str:
    """`U+202E RIGHT-TO-LEFT OVERRIDE`."""
    name = unicodedata.name(char, "") or CONTROLS.get(char, "")
    return f"U+{ord(char):04X}" + (f" {name}" if name else "")


CONTROLS = {"\0": "NULL", "\a": "BELL", "\b": "BACKSPACE", "\x1b": "ESCAPE", "\x7f": "DELETE", "\r": "CARRIAGE RETURN"}


def shown(char: str, column: int) -> tuple[str, int]:
    """What stands for a character at a column (counted from zero), and how many columns that takes."""
    if char == "\t":
        blanks = TAB - column % TAB
        return " " * blanks, blanks
    picture = _shown(char)
    return picture, sum(_width(each) for each in picture)


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"<U+{code:04X}>" if unicodedata.category(char) in HIDDEN else char


def _width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
