"""What may be written on the command line: the parser, and the help that it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TypeAlias

from fusionc.program.memory import ITEMSIZES, LAYOUTS
from fusionc.targets.registry import Options, targets
from fusionc.version import __version__

MANY = 40  # rows that `paths` prints before it says how many more there are
BATCH, CUTOFF = 100, 5.0  # of random operands that `run` takes; in angstrom, where a molecule's neighbours end

Command = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole command line; `run` has what each command does."""
    whole = argparse.ArgumentParser(
        prog="fusionc",
        description="Compile fusion diagrams: networks of SU(2), SO(3) and O(3) tensors joined at Clebsch-Gordan "
        "vertices.",
        epilog="FILE may be `-` for standard input. Exit codes: 0 done, 1 the input is at fault, 2 the command line "
        "is, 70 fusionc is. `fusionc COMMAND --help` says more of a command.",
    )
    whole.add_argument("--version", action="version", version=f"fusionc {__version__}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_compile(commands, run)
    one = _add(commands, "check", run, "diagnostics only", "Check files and print what is wrong with them.")
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text", help="default: text")
    one.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    one.add_argument("--fix", action="store_true", help="make the repairs that change no meaning, and say which")
    one.add_argument("--diff", action="store_true", help="show what --fix would change, and change nothing")
    one = _on_file(
        _add(
            commands,
            "paths",
            run,
            "the table of paths and weights",
            "List the paths of diagrams, in path order, with where the weights of each lie.",
        )
    )
    one.add_argument("--all", action="store_true", help=f"all paths, not the first {MANY}")
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _on_file(
        _add(
            commands,
            "cost",
            run,
            "what the plan costs",
            "Count the program that is emitted, beside the written order and opt_einsum's.",
        )
    )
    one.add_argument(
        "--batch",
        type=int,
        default=1000,
        help="batch size the figures are for (default: 1000); in a diagram over sites the number of sites of every set",
    )
    _add_size(one)
    one.add_argument("--dtype", choices=tuple(ITEMSIZES), default="float32", help="default: float32")
    one.add_argument("--target", default="torch", help="`triton` says what runs in kernels and what does not")
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _on_file(
        _add(
            commands,
            "verify",
            run,
            "measured errors",
            "Measure equivariance, agreement with the dense einsum of the diagram, and gradients, in float64. "
            "Exit code 1 when an error is larger than its bound.",
        )
    )
    one.add_argument("--seed", type=int, default=0, help="of the random operands (default: 0)")
    one.add_argument("--layout", choices=LAYOUTS, default="mul_ir", help="default: mul_ir")
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _on_file(
        _add(
            commands,
            "eval",
            run,
            "exact values of closed diagrams",
            "Print the exact value and the decimal of closed diagrams, and of diagrams from one irrep to itself.",
        )
    )
    one.add_argument("--formula", action="store_true", help="also the sum over 6j symbols that was evaluated")
    one.add_argument("--latex", action="store_true", help="the value and the formula for LaTeX")
    one.add_argument("--json", action="store_true", help="as JSON")
    _add_run(commands, run)
    one = _add(
        commands,
        "fmt",
        run,
        "the canonical form",
        "Rewrite files in the canonical form; `-` is formatted to standard output.",
    )
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if a file is not in canonical form"
    )
    one.add_argument("--diff", action="store_true", help="change nothing; print what would change")
    one = _on_file(_add(commands, "draw", run, "a picture", "Draw a diagram as SVG."))
    one.add_argument(
        "-o", "--output", metavar="OUT.svg", help="default: standard output; several diagrams go to OUT_NAME.svg each"
    )
    one = _add(
        commands,
        "explain",
        run,
        "a page on a diagnostic",
        "What a diagnostic means, a failing example and its repair. Without a code: the list of all codes.",
    )
    one.add_argument("code", nargs="?", metavar="CODE", help="for example F2001")
    return whole


def _add_compile(commands: Commands, run: Mapping[str, Command]) -> None:
    one = _add(
        commands,
        "compile",
        run,
        "generate code",
        "Generate a stand-alone file with one module and one function for each diagram. "
        "The output appears whole or not at all.",
    )
    one.add_argument("file", metavar="FILE")
    one.add_argument("-o", "--output", metavar="OUT.py", help="default: standard output")
    known = ", ".join(target.name for target in targets())
    one.add_argument("--target", default="torch", help=f"one of {known} (default: torch)")
    for option in fields(Options):
        choices, about = option.metadata["choices"], option.metadata["about"]
        one.add_argument(f"--{option.name}", choices=choices, default=option.default, help=about)
    one.add_argument(
        "--aot",
        metavar="sm_90",
        help="with --target triton: compile every kernel for an architecture (no GPU is needed) and report registers, "
        "spills, shared memory and seconds on standard error",
    )
    one.add_argument(
        "--emit",
        choices=("ast", "graph", "plan", "program", "code"),
        default="code",
        help="stop at a stage and print it",
    )
    one.add_argument(
        "--print-after",
        metavar="PASS",
        help="print the whole program as it is after a pass of the torch target, or `lowering`, before all of them",
    )
    one.add_argument("--check", action="store_true", help="write nothing; exit with 1 if -o OUT.py is not up to date")


def _add_run(commands: Commands, run: Mapping[str, Command]) -> None:
    one = _on_file(
        _add(
            commands,
            "run",
            run,
            "compile and run",
            "Compile diagrams and run them in float64, on random operands or on a molecule; report shapes, time, cost "
            "and the equivariance error under a random rotation and an inversion. On a molecule, legs whose irreps are "
            "spherical harmonics take those of a neighbour, other legs features of the atom at the centre. In a "
            "diagram over sites the sites are the atoms, every relation is the neighbour list, and legs over pairs "
            "take the spherical harmonics of the vector to the neighbour; the atoms are permuted too.",
        )
    )
    one.add_argument("--xyz", metavar="MOLECULE", help="a structure file (anything ASE reads)")
    one.add_argument("--cutoff", type=float, help=f"in angstrom, with --xyz (default: {CUTOFF:g})")
    one.add_argument(
        "--batch",
        type=int,
        help=f"batch size of random operands (default: {BATCH}); in a diagram over sites the number of sites of every "
        "set",
    )
    _add_size(one)
    one.add_argument("--seed", type=int, default=0, help="default: 0")
    one.add_argument("--json", action="store_true", help="as JSON")


def _add_size(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--size",
        metavar="NAME=N",
        type=_size,
        action="append",
        default=[],
        help="for a diagram over sites: how many members a site set or a relation has, as in `--size atoms=100 "
        "--size edges=2000`; may be given several times (default: --batch sites, and 20 pairs for each site)",
    )


def _add(commands: Commands, name: str, run: Mapping[str, Command], short: str, long: str) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=short, description=long)
    one.set_defaults(command=run[name])
    return one


def _on_file(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
    one.add_argument("file", metavar="FILE")
    one.add_argument("--diagram", metavar="NAME", help="one diagram of the file (default: all)")
    return one


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name.isidentifier() or not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"`{text}` should be a name and a number, such as atoms=100")
    return name, int(number)
