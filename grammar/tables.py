"""Writes the LALR tables of `fusion.lark` to `tables.json`, so that reading a text does not begin by making them.

    python grammar/tables.py        (`make tables`)

They are those that lark makes: the same parser, 0.1 s sooner. For another grammar, or another lark, they are made anew
at every start. Lark numbers states, terminals and rules as they come; here each has its number by what it is, so that
the same grammar gives the same file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from fusionc.language.grammar import digest, grammar_text, made

SHIFT = 0


def tables() -> str:
    """The text of the file: a line for each state."""
    data, memo = made(grammar_text()).memo_serialize([TerminalDef, Rule])
    data, memo = by_content(data, memo)
    parser = data["parser"]["parser"]
    names = sorted(parser["tokens"].values())
    states = by_name(parser)
    number = in_order_of_reach(states, parser["start_states"])
    parser["tokens"] = dict(enumerate(names))
    for key in ("start_states", "end_states"):
        parser[key] = {start: number[state] for start, state in sorted(parser[key].items())}
    del parser["states"]
    lines = []
    for state in sorted(states, key=number.__getitem__):
        actions = {names.index(name): numbered(action, number) for name, action in sorted(states[state].items())}
        lines.append(f'"{number[state]}": {json.dumps(actions)}')
    head = {"grammar": digest(grammar_text()), "lark": lark.__version__, "data": data, "memo": memo}
    return f'{json.dumps(head, sort_keys=True)[:-1]}, "states": {{\n' + ",\n".join(lines) + "\n}}\n"


def by_content(data: Any, memo: dict[int, Any]) -> tuple[Any, dict[int, Any]]:
    """Terminals and rules, numbered in the order of what they say; lists of them in that order."""
    texts = {key: json.dumps(value, sort_keys=True) for key, value in memo.items()}
    number = {key: at for at, key in enumerate(sorted(memo, key=texts.__getitem__))}

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {"@": number[value["@"]]} if set(value) == {"@"} else {key: moved(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            found = [moved(one) for one in value]
            are_references = bool(found) and all(isinstance(one, dict) and set(one) == {"@"} for one in found)
            return sorted(found, key=lambda one: one["@"]) if are_references else found
        return value

    return moved(data), {at: memo[key] for key, at in sorted(number.items(), key=lambda item: item[1])}


def by_name(parser: Any) -> dict[int, dict[str, Any]]:
    """What each state does with a symbol, by the symbol's name."""
    tokens = parser["tokens"]
    return {state: {tokens[token]: action for token, action in row.items()} for state, row in parser["states"].items()}


def in_order_of_reach(states: dict[int, dict[str, Any]], starts: dict[str, int]) -> dict[int, int]:
    """States numbered as they are first reached, from the starts on, symbol by symbol."""
    reached = list(dict.fromkeys(state for _, state in sorted(starts.items())))
    known = set(reached)
    for state in reached:
        for _, (kind, target) in sorted(states[state].items()):
            if kind == SHIFT and target not in known:
                known.add(target)
                reached.append(target)
    return {state: at for at, state in enumerate(reached)}


def numbered(action: Any, number: dict[int, int]) -> list[Any]:
    kind, target = action
    return [kind, number[target] if kind == SHIFT else target]


if __name__ == "__main__":
    (Path(__file__).parent / "tables.json").write_text(tables(), encoding="utf-8")
