"""The command line: one function a command.

Exit codes: 0 done; 1 the input is at fault and the diagnostics say so; 2 the command line is at fault; 70 fusionc is.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from fusionc.cache import import_text, write_whole
from fusionc.diagram.paths import public_paths
from fusionc.driver import Checked, CheckedDiagram, CheckedNumber, as_number, check_source, emit, number_not_module
from fusionc.language.codes import CODES
from fusionc.language.diagnostics import CompileError, Diagnostic
from fusionc.language.parser import decode, parse, read
from fusionc.language.printer import print_file
from fusionc.language.render import render_github, render_json, render_sarif, render_text, summary
from fusionc.language.source import Source
from fusionc.program.ir import LAYOUTS
from fusionc.targets.registry import DTYPES, STYLES, SUMS, Options, targets
from fusionc.tools import listing
from fusionc.tools.progress import Progress
from fusionc.tools.report import ITEMSIZES, cost_report, cost_table
from fusionc.version import __version__

EXIT_OK, EXIT_INPUT, EXIT_USAGE, EXIT_INTERNAL = 0, 1, 2, 70
MANY = 40  # rows that `paths` prints before it says how many more there are


class UsageError(Exception):
    """The command line is at fault; the message says what to write instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        for name in ("seed", "batch"):
            if getattr(options, name, 0) < 0:
                raise UsageError(f"--{name} should not be negative")
        code = command(options)
        sys.stdout.flush()
        return code
    except CompileError as error:
        _say(error.diagnostics)
        return EXIT_INPUT
    except UsageError as error:
        print(f"fusionc: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception:
        traceback.print_exc()
        print(
            "fusionc: this is a mistake in fusionc, not in your file; please report it with the text above",
            file=sys.stderr,
        )
        return EXIT_INTERNAL


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main())


# --- the commands ------------------------------------------------------------------------------------------------


def compile_command(options: argparse.Namespace) -> int:
    _check_ahead(options)
    checked = _checked(options.file)
    stages = {"ast": listing.list_ast, "graph": listing.list_graph, "plan": listing.list_plan}
    if options.emit in stages:
        text = stages[options.emit](checked)
    elif options.emit == "program":
        text = listing.list_program(checked, options.layout)
    else:
        _require_diagrams(checked)
        if checked.closed:
            raise CompileError([number_not_module(number) for number in checked.closed])
        text = emit(
            checked.diagrams, options.target, Options(options.layout, options.dtype, options.sums, options.style)
        )
    if options.aot:
        _compile_ahead(text, options.aot, options.dtype or "float32")
    if options.check:
        return _compare(options.output, text)
    _write(options.output, text)
    return EXIT_OK


def _check_ahead(options: argparse.Namespace) -> None:
    """`--aot` is for kernels of one architecture, and needs triton."""
    if options.aot is None:
        return
    from fusionc.tools.aot import OPERANDS, architecture, has_triton

    if options.target != "triton" or options.emit != "code":
        raise UsageError("--aot compiles kernels: it goes with --target triton")
    if options.dtype is not None and options.dtype not in OPERANDS:
        raise UsageError(f"--aot compiles for {', '.join(OPERANDS)}, not for {options.dtype}")
    try:
        architecture(options.aot)
    except ValueError as error:
        raise UsageError(f"--aot: {error}") from None
    if not has_triton():
        raise UsageError("--aot needs triton: pip install triton")


def _compile_ahead(text: str, arch: str, dtype: str) -> None:
    """Compile all kernels of a generated file and say what they need."""
    from fusionc.tools.aot import compile_ahead, summary_of

    with Progress("compiling") as step:
        found = compile_ahead(import_text(text), arch, dtype, step)
    print("\n".join([*map(str, found), summary_of(found)]), file=sys.stderr)


def _write(output: str | None, text: str) -> None:
    """Write to a file, whole or not at all; to standard output where none or `-` is named."""
    if output is None or output == "-":
        sys.stdout.write(text)
        return
    try:
        write_whole(Path(output), text)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from None


def _compare(output: str | None, text: str) -> int:
    if output is None:
        raise UsageError("--check compares with the file named by -o")
    try:
        current = Path(output).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        current = None
    if current == text:
        return EXIT_OK
    print(
        f"fusionc: {output} is not what the diagram compiles to; run the same command without --check", file=sys.stderr
    )
    return EXIT_INPUT


def check_command(options: argparse.Namespace) -> int:
    found: list[Diagnostic] = []
    for file in options.files:
        try:
            found += _check_file(file).diagnostics
        except CompileError as error:
            found += error.diagnostics
    if options.format == "text":
        _say(found)
        print(summary(found), file=sys.stderr)
    else:
        forms = {"json": render_json, "sarif": render_sarif, "github": render_github}
        text = forms[options.format](found)
        sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")
    failed = any(diagnostic.is_error or options.strict for diagnostic in found)
    return EXIT_INPUT if failed else EXIT_OK


def paths_command(options: argparse.Namespace) -> int:
    chosen = _chosen(options)
    if options.json:
        print(json.dumps({d.name: [asdict(path) for path in public_paths(d.table)] for d in chosen}, indent=1))
        return EXIT_OK
    for number, diagram in enumerate(chosen):
        if number:
            print()
        print(listing.list_paths_table(diagram, None if options.all else MANY))
    return EXIT_OK


def cost_command(options: argparse.Namespace) -> int:
    with Progress("planning") as step:
        reports = []
        for diagram in _chosen_with_sizes(options):
            step(diagram.name)
            sizes = _sizes_of(diagram, options.size)
            reports.append((diagram.name, cost_report(diagram, options.batch, options.dtype, sizes, options.target)))
    if options.json:
        print(json.dumps({name: asdict(report) for name, report in reports}, indent=1))
    else:
        print("\n\n".join(cost_table(name, report) for name, report in reports))
    return EXIT_OK


def verify_command(options: argparse.Namespace) -> int:
    from fusionc.tools.verify import verify  # torch

    results = []
    with Progress("verifying") as step:
        for diagram in _chosen(options):
            results.append(verify(diagram, options.seed, layout=options.layout, step=step.named(diagram.name)))
    if options.json:
        rows = [{**asdict(r), "ok": r.ok} for r in results]
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(map(str, results)))
    return EXIT_OK if all(result.ok for result in results) else EXIT_INPUT


def eval_command(options: argparse.Namespace) -> int:
    checked = _checked(options.file)
    numbers = list(checked.numbers)
    if options.diagram is not None:
        everything: list[CheckedNumber | CheckedDiagram] = [*checked.closed, *checked.diagrams]
        named = [diagram.scoped for diagram in everything if diagram.name == options.diagram]
        if not named:
            raise UsageError(f"{options.file} holds no diagram `{options.diagram}`")
        numbers = [as_number(scoped) for scoped in named]
    if not numbers:
        raise UsageError(f"{options.file} holds no closed diagram, and none from one irrep to itself through loops")
    if options.json:
        rows = [{"name": one.name, "value": str(one.value), "decimal": float(one.value)} for one in numbers]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return EXIT_OK
    print("\n".join(line for number in numbers for line in _number_lines(number, options.formula, options.latex)))
    return EXIT_OK


def _number_lines(number: CheckedNumber, formula: bool, latex: bool) -> list[str]:
    exact = number.value.latex() if latex else str(number.value)
    lines = [f"{number.name} = {exact} = {float(number.value)!r}"]
    if formula or latex:
        terms = [one.latex() if latex else str(one) for one in number.formulas] or ["0"]
        lines += [f"  {'+ ' if place else '= '}{term}" for place, term in enumerate(terms)]
    return lines


def run_command(options: argparse.Namespace) -> int:
    from fusionc.tools.molecule import MoleculeError  # torch
    from fusionc.tools.run import run_molecule, run_random
    from fusionc.tools.verify import EQUIVARIANCE_BOUND

    if options.xyz is not None and options.size:
        raise UsageError(
            "--size is for random operands: with --xyz the molecule says how many atoms and pairs there are"
        )
    runs = []
    with Progress("running") as step:
        for diagram in _chosen_with_sizes(options):
            named = step.named(diagram.name)
            if options.xyz is None:
                sizes = _sizes_of(diagram, options.size)
                runs.append(run_random(diagram, options.batch, options.seed, named, sizes))
                continue
            try:
                runs.append(run_molecule(diagram, options.xyz, options.cutoff, options.seed, named))
            except MoleculeError as error:
                raise UsageError(str(error)) from None
    print(json.dumps([asdict(run) for run in runs], indent=1) if options.json else "\n\n".join(map(str, runs)))
    return EXIT_OK if all(error < EQUIVARIANCE_BOUND for run in runs for _, error in run.equivariance) else EXIT_INPUT


def fmt_command(options: argparse.Namespace) -> int:
    changed, broken = [], False
    for file in options.files:
        try:
            source = _source(file)
            text = _formatted(source)
        except CompileError as error:
            _say(error.diagnostics)
            broken = True
            continue
        if text != source.text:
            changed.append(file)
        if options.diff:
            sys.stdout.writelines(_diff(source, text))
        elif file == "-" and not options.check:
            sys.stdout.write(text)
        elif text != source.text and not options.check:
            write_whole(Path(file), text)
    if options.check and changed:
        print(f"would reformat: {', '.join(changed)}", file=sys.stderr)
    return EXIT_INPUT if broken or (options.check and changed) else EXIT_OK


def _formatted(source: Source) -> str:
    result = parse(source)
    if result.diagnostics:
        raise CompileError(result.diagnostics)
    return print_file(result.file)


def _diff(source: Source, text: str) -> list[str]:
    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    return list(difflib.unified_diff(before, after, source.name, f"{source.name} (formatted)"))


def draw_command(options: argparse.Namespace) -> int:
    from fusionc.tools.draw import draw

    chosen = _chosen(options)
    if len(chosen) == 1:
        _write(options.output, draw(chosen[0]))
        return EXIT_OK
    if options.output is None or options.output == "-":
        names = ", ".join(diagram.name for diagram in chosen)
        raise UsageError(
            f"{options.file} holds several diagrams; name a file with -o, or choose with --diagram: {names}"
        )
    output = Path(options.output)
    for diagram in chosen:
        _write(str(output.with_name(f"{output.stem}_{diagram.name}{output.suffix or '.svg'}")), draw(diagram))
    return EXIT_OK


def explain_command(options: argparse.Namespace) -> int:
    from fusionc.tools.explain import page

    if options.code is None:
        for code in CODES.values():
            print(f"{code.id}  {code.severity:<7}  {code.title}")
        return EXIT_OK
    wanted = options.code.upper()
    if wanted not in CODES:
        near = difflib.get_close_matches(wanted, CODES, n=1)
        help = f"did you mean {near[0]}?" if near else "`fusionc explain` lists all codes"
        raise UsageError(f"no diagnostic has the code {options.code}; {help}")
    print(page(wanted).text)
    return EXIT_OK


# --- files and diagrams ------------------------------------------------------------------------------------------


def _source(file: str) -> Source:
    return decode("<stdin>", sys.stdin.buffer.read()) if file == "-" else read(file)


def _check_file(file: str) -> Checked:
    return check_source(_source(file), None if file == "-" else Path(file).parent)


def _checked(file: str) -> Checked:
    """A file without errors; its warnings go to standard error."""
    checked = _check_file(file)
    if checked.has_errors:
        raise CompileError(checked.diagnostics)
    _say(checked.diagnostics)
    return checked


def _require_diagrams(checked: Checked) -> None:
    if not checked.diagrams and checked.closed:
        raise CompileError([number_not_module(number) for number in checked.closed])
    if not checked.diagrams:
        raise UsageError(f"{checked.source.name} holds no diagram")


def _chosen(options: argparse.Namespace) -> tuple[CheckedDiagram, ...]:
    checked = _checked(options.file)
    _require_diagrams(checked)
    if options.diagram is None:
        return checked.diagrams
    chosen = tuple(diagram for diagram in checked.diagrams if diagram.name == options.diagram)
    if not chosen:
        names = ", ".join(diagram.name for diagram in checked.diagrams)
        raise UsageError(f"{options.file} holds no diagram `{options.diagram}`; it holds: {names}")
    return chosen


def _chosen_with_sizes(options: argparse.Namespace) -> tuple[CheckedDiagram, ...]:
    """The chosen diagrams; every name that --size gives is a site set or a relation of one of them."""
    chosen = _chosen(options)
    known = dict.fromkeys(name for diagram in chosen for name in _domains(diagram))
    for name, _ in options.size:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            have = f"sizes can be given of {', '.join(known)}" if known else "no diagram here is over sites"
            raise UsageError(f"no diagram is over `{name}`; {f'did you mean `{near[0]}`?' if near else have}")
    return chosen


def _sizes_of(diagram: CheckedDiagram, sizes: Sequence[tuple[str, int]]) -> dict[str, int]:
    return {name: size for name, size in sizes if name in _domains(diagram)}


def _domains(diagram: CheckedDiagram) -> tuple[str, ...]:
    return (*diagram.graph.sites, *(relation.name for relation in diagram.graph.relations))


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name.isidentifier() or not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"`{text}` should be a name and a number, such as atoms=100")
    return name, int(number)


def _say(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        print(render_text(diagnostics, color) + "\n", file=sys.stderr)


# --- the parser --------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fusionc",
        description="Compile fusion diagrams: networks of SU(2), SO(3) and O(3) tensors joined at Clebsch-Gordan "
        "vertices.",
        epilog="FILE may be `-` for standard input. Exit codes: 0 done, 1 the input is at fault, 2 the command line "
        "is, 70 fusionc is. `fusionc COMMAND --help` says more of a command.",
    )
    parser.add_argument("--version", action="version", version=f"fusionc {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_compile(commands)
    one = _add(commands, "check", check_command, "diagnostics only", "Check files and print what is wrong with them.")
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument("--format", choices=("text", "json", "sarif", "github"), default="text", help="default: text")
    one.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    one = _on_file(
        _add(
            commands,
            "paths",
            paths_command,
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
            cost_command,
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
            verify_command,
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
            eval_command,
            "exact values of closed diagrams",
            "Print the exact value and the decimal of closed diagrams, and of diagrams from one irrep to itself.",
        )
    )
    one.add_argument("--formula", action="store_true", help="also the sum over 6j symbols that was evaluated")
    one.add_argument("--latex", action="store_true", help="the value and the formula for LaTeX")
    one.add_argument("--json", action="store_true", help="as JSON")
    _add_run(commands)
    one = _add(
        commands,
        "fmt",
        fmt_command,
        "the canonical form",
        "Rewrite files in the canonical form; `-` is formatted to standard output.",
    )
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if a file is not in canonical form"
    )
    one.add_argument("--diff", action="store_true", help="change nothing; print what would change")
    one = _on_file(_add(commands, "draw", draw_command, "a picture", "Draw a diagram as SVG."))
    one.add_argument(
        "-o", "--output", metavar="OUT.svg", help="default: standard output; several diagrams go to OUT_NAME.svg each"
    )
    one = _add(
        commands,
        "explain",
        explain_command,
        "a page on a diagnostic",
        "What a diagnostic means, a failing example and its repair. Without a code: the list of all codes.",
    )
    one.add_argument("code", nargs="?", metavar="CODE", help="for example F2001")
    return parser


def _add_compile(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = _add(
        commands,
        "compile",
        compile_command,
        "generate code",
        "Generate a stand-alone file with one module and one function for each diagram. "
        "The output appears whole or not at all.",
    )
    one.add_argument("file", metavar="FILE")
    one.add_argument("-o", "--output", metavar="OUT.py", help="default: standard output")
    known = ", ".join(target.name for target in targets())
    one.add_argument("--target", default="torch", help=f"one of {known} (default: torch)")
    one.add_argument(
        "--layout", choices=LAYOUTS, default="mul_ir", help="of operands and outputs (default: mul_ir, e3nn's)"
    )
    one.add_argument("--dtype", choices=DTYPES, help="of learned weights (default: torch's, when a module is made)")
    one.add_argument(
        "--sums",
        choices=SUMS,
        default="sorted",
        help="how kernels sum over neighbours: over sorted pairs, always the same way, or by atomic additions "
        "(default: sorted)",
    )
    one.add_argument(
        "--style",
        choices=STYLES,
        default="auto",
        help="of torch code: few large operations (batched), a statement for each component, which torch.compile makes "
        "one loop of (scalar), or the first for eager calls and the second under a compiler (default: auto)",
    )
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
    one.add_argument("--check", action="store_true", help="write nothing; exit with 1 if -o OUT.py is not up to date")


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = _on_file(
        _add(
            commands,
            "run",
            run_command,
            "compile and run",
            "Compile diagrams and run them in float64, on random operands or on a molecule; report shapes, time, cost "
            "and the equivariance error under a random rotation and an inversion. On a molecule, legs whose irreps are "
            "spherical harmonics take those of a neighbour, other legs features of the atom at the centre. In a "
            "diagram over sites the sites are the atoms, every relation is the neighbour list, and legs over pairs "
            "take the spherical harmonics of the vector to the neighbour; the atoms are permuted too.",
        )
    )
    one.add_argument("--xyz", metavar="MOLECULE", help="a structure file (anything ASE reads)")
    one.add_argument("--cutoff", type=float, default=5.0, help="in angstrom (default: 5)")
    one.add_argument(
        "--batch",
        type=int,
        default=100,
        help="batch size of random operands (default: 100); in a diagram over sites the number of sites of every set",
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


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    short: str,
    long: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=short, description=long)
    parser.set_defaults(command=command)
    return parser


def _on_file(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--diagram", metavar="NAME", help="one diagram of the file (default: all)")
    return parser


if __name__ == "__main__":
    entry()
