"""Mutated texts: bytes, words and lines of all examples and mistakes, changed at random.

    python tests/campaigns/mutations.py --seconds 60             what CI runs
    python tests/campaigns/mutations.py --count 100000 --seed 0
    python tests/campaigns/mutations.py --seed 4711 --count 1    one case again

Of each text it is asked that checking ends in diagnostics and in no exception, within two seconds of processor time and
a gigabyte; that every diagnostic can be shown in every form and its repairs be made; and that a text without syntax
mistakes prints to one that has the same tree and prints the same again. Each case follows from its seed. Failures go
to the standard output with seed and text; the last line says `N passed, M failed`, and the exit code is 1 where one
failed.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fusionc.driver import check_source, late_mistakes
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.errors import CompileError
from fusionc.language.parser import decode, parse
from fusionc.language.printer import print_file
from fusionc.language.render import render_github, render_json, render_sarif, render_text
from fusionc.language.repair import edited
from fusionc.language.source import Source

TESTS = Path(__file__).parents[1]
SEEDS = [*sorted((TESTS.parent / "examples").glob("*.fus")), *sorted((TESTS / "mistakes").glob("*.fus"))]
MOST_SECONDS = 2.0  # of processor time
MOST_MEMORY = 2**30
WORD = re.compile(r"\s+|\w+|[^\w\s]")
SIGNS = (
    "{ } ( ) [ ] -> in # \" ' ; , : * + - = / . < > | ^ @ x 64x 0 1 2 64 1/2 1/0 0.5 1e9 1e400 64x1o 64x( 1o 0e 3/2 "
    "999 1000000000000 out path lmax weights index spherical edge irreps group sites pairs diagram normalize paths "
    "basis import O(3) SO(3) SU(2) complex × → ⊗ − é \u202e \u200b \u00a0 \ufeff \0 \t \r \\ % $ !"
).split(" ")


def mutated(seed: int, texts: Sequence[bytes]) -> bytes:
    """A text of `texts` after up to eight changes."""
    draw = random.Random(seed)
    text = draw.choice(texts)
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        text = draw.choice((_bytes, _words, _words, _words, _lines))(draw, text, texts)
    return text


def _bytes(draw: random.Random, text: bytes, texts: Sequence[bytes]) -> bytes:
    """A byte more, less or another; a run of bytes left out, or twice."""
    start = draw.randrange(len(text) + 1)
    end = min(len(text), start + draw.choice((0, 1, 1, 2, 8, 40)))
    middle = draw.choice((b"", bytes([draw.randrange(256)]), text[start:end] * 2, bytes([draw.randrange(32, 127)])))
    return text[:start] + middle + text[end:]


def _words(draw: random.Random, text: bytes, texts: Sequence[bytes]) -> bytes:
    """A word more, less, elsewhere, or another, from this text or from what the language has."""
    words = WORD.findall(text.decode("utf-8", "surrogateescape")) or [""]
    place, other = draw.randrange(len(words)), draw.randrange(len(words))
    match draw.randrange(6):
        case 0:
            del words[place]
        case 1:
            words[place], words[other] = words[other], words[place]
        case 2:
            words[place] = words[other]
        case 3:
            words[place] = draw.choice(SIGNS)
        case 4:
            words.insert(place, " " + draw.choice(SIGNS) + " ")
        case _:
            words.insert(place, words[other] * draw.choice((1, 1, 2, 30)))
    return "".join(words).encode("utf-8", "surrogateescape")


def _lines(draw: random.Random, text: bytes, texts: Sequence[bytes]) -> bytes:
    """A line less, twice, elsewhere, many times, or one of another text."""
    lines = text.split(b"\n")
    place, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(5):
        case 0:
            del lines[place]
        case 1:
            lines[place], lines[other] = lines[other], lines[place]
        case 2:
            lines.insert(place, draw.choice(draw.choice(texts).split(b"\n")))
        case 3:
            lines[place:place] = [lines[other]] * draw.choice((1, 2, 50))
        case _:
            lines[place] = lines[place] + b" " + lines[other]
    return b"\n".join(lines)


# --- what is asked of a text -----------------------------------------------------------------------------------


def problem(data: bytes) -> str | None:
    """What is wrong with how a text is taken; None where nothing is."""
    start = time.process_time()
    try:
        found = _asked(data)
    except Exception:
        found = traceback.format_exc()
    seconds, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if found is None and seconds > MOST_SECONDS:
        found = f"{seconds:.1f} s of processor time"
    return found or (f"{memory / 2**20:.0f} MiB" if memory > MOST_MEMORY else None)


def _asked(data: bytes) -> str | None:
    try:
        source = decode("mutated.fus", data)
    except CompileError as error:
        return _shown(error.diagnostics, None)
    checked = check_source(source, TESTS / "mistakes")
    found = checked.diagnostics if checked.has_errors else (*checked.diagnostics, *late_mistakes(checked))
    return _shown(found, source) or _printed(source)


def _shown(diagnostics: Sequence[Diagnostic], source: Source | None) -> str | None:
    """Every form of a report, and every repair."""
    forms: tuple[Callable[[Sequence[Diagnostic]], str], ...] = (render_text, render_json, render_sarif, render_github)
    for form in forms:
        form(diagnostics)
    hidden = [char for char in render_text(diagnostics) if char < " " and char != "\n"]
    if hidden:
        return f"the report has the character {hidden[0]!r}"
    for diagnostic in diagnostics[:20]:
        for repair in diagnostic.repairs:
            if source is not None and all(edit.span.source is source for edit in repair.edits):
                edited(source, repair.edits)
    return None


def _printed(source: Source) -> str | None:
    """The canonical form: the same tree, and its own canonical form."""
    result = parse(source)
    if result.diagnostics:
        return None
    text = print_file(result.file)
    again = parse(Source("printed.fus", text))
    if again.diagnostics or again.file != result.file:
        return f"prints to another tree:\n{text}"
    return None if print_file(again.file) == text else f"prints differently the second time:\n{text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="how many texts (100000)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one (0); the others follow")
    parser.add_argument("--seconds", type=float, default=None, help="begin no case after so many seconds")
    options = parser.parse_args()
    texts = [path.read_bytes() for path in SEEDS]
    parse(Source("first.fus", ""))  # the grammar is read once
    start, passed, failed = time.monotonic(), 0, []
    for seed in range(options.seed, options.seed + options.count):
        if options.seconds is not None and time.monotonic() - start > options.seconds:
            break
        text = mutated(seed, texts)
        found = problem(text)
        if found is None:
            passed += 1
        else:
            failed.append(seed)
            print(f"seed {seed}\n{text.decode('utf-8', 'backslashreplace')}\n{found}\n", flush=True)
        if (passed + len(failed)) % 1000 == 0:
            elapsed = time.monotonic() - start
            print(f"{passed + len(failed)} done, {len(failed)} failed, {elapsed:.0f} s", file=sys.stderr, flush=True)
    if failed:
        print(f"failed seeds: {' '.join(map(str, failed))}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
