"""The command line: one function a command.

Exit codes: 0 done; 1 the input is at fault and the diagnostics say so; 2 the command line is at fault; 70 fusionc is.
A command imports what it needs, so that each starts as fast as it can.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fusionc.arguments import BATCH, CUTOFF, MANY, parser
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.errors import CompileError

if TYPE_CHECKING:
    from fusionc.algebra.surds import Surd
    from fusionc.driver import Checked, CheckedDiagram, CheckedNumber
    from fusionc.language.source import Source

EXIT_OK, EXIT_INPUT, EXIT_USAGE, EXIT_INTERNAL, EXIT_INTERRUPTED = 0, 1, 2, 70, 130


class UsageError(Exception):
    """The command line is at fault; the message says what to write instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _settle_streams()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough
        _drop_output()
        return EXIT_OK
    except OSError as error:
        _drop_output()
        where = "the output" if error.filename is None else error.filename
        _complain(f"fusionc: cannot {'write' if error.filename is None else 'use'} {where}: {error.strerror or error}")
        return EXIT_USAGE


def _run(arguments: Sequence[str] | None) -> int:
    """A command's exit code. Raises OSError and KeyboardInterrupt, which are nobody's mistake here."""
    try:
        options = parser(COMMANDS).parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        for name in ("seed", "batch"):
            if (getattr(options, name, None) or 0) < 0:
                raise UsageError(f"--{name} should not be negative")
        code = command(options)
        sys.stdout.flush()
        return code
    except SystemExit:  # help was asked for, or is needed
        sys.stdout.flush()
        raise
    except CompileError as error:
        _say(error.diagnostics)
        return EXIT_INPUT
    except UsageError as error:
        _complain(f"fusionc: {error}")
        return EXIT_USAGE
    except OSError:
        raise
    except Exception:
        return _internal()


def _internal() -> int:
    """Whatever nobody has foreseen."""
    import traceback

    _complain(traceback.format_exc())
    _complain("fusionc: this is a mistake in fusionc, not in your file; please report it with the text above")
    return EXIT_INTERNAL


def _settle_streams() -> None:
    """Roots and other signs are escaped where the output has no place for them; closed, it takes everything."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What is left of an output that nobody takes goes nowhere, so that Python does not try again at its end."""
    with suppress(OSError, ValueError):  # (what stands in for standard output may have no descriptor)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _complain(text: str) -> None:
    """A line on standard error; where that is gone or full, the exit code has to do."""
    with suppress(OSError):
        print(text, file=sys.stderr)


# --- the commands ------------------------------------------------------------------------------------------------


def compile_command(options: argparse.Namespace) -> int:
    from fusionc.tools.progress import Progress

    _check_ahead(options)
    _check_output(options)
    if options.emit == "code":
        _check_suffix(options.output, "Python", ".py", ("text/x-python",))
    else:
        _check_suffix(options.output, "a listing, plain text", ".txt", ())
    checked = _checked(options.file)
    with Progress("compiling"):
        text = _compiled(checked, options)
    if options.aot:
        _compile_ahead(text, options.aot, options.dtype or "float32")
    if options.check:
        return _compare(options.output, text)
    _write(options.output, text)
    return EXIT_OK


def _compiled(checked: Checked, options: argparse.Namespace) -> str:
    """What `--emit` asks for."""
    from fusionc.driver import check_dtype, emit, number_not_module
    from fusionc.targets.registry import Options
    from fusionc.tools import listing

    stages = {"ast": listing.list_ast, "graph": listing.list_graph, "plan": listing.list_plan}
    if options.emit in stages:
        return stages[options.emit](checked)
    if options.emit == "program":
        return listing.list_program(checked, options.layout)
    if options.print_after is not None:
        try:
            return listing.list_after(checked, options.print_after, options.layout)
        except ValueError as error:
            raise UsageError(f"--print-after: {error}") from None
    _require_diagrams(checked)
    if checked.closed:
        raise CompileError([number_not_module(number) for number in checked.closed])
    try:
        check_dtype(checked.diagrams, options.dtype)
    except ValueError as error:
        raise UsageError(f"--dtype: {error}") from None
    chosen = Options(options.layout, options.dtype, options.sums, options.style, options.unroll)
    return emit(checked.diagrams, options.target, chosen)


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
    from fusionc.cache import import_text
    from fusionc.tools.aot import compile_ahead, summary_of
    from fusionc.tools.progress import Progress

    with Progress("compiling") as step:
        found = compile_ahead(import_text(text), arch, dtype, step)
    _complain("\n".join([*map(str, found), summary_of(found)]))


def _check_output(options: argparse.Namespace) -> None:
    """What is written never takes the place of a diagram."""
    if options.output in (None, "-"):
        return
    output = Path(options.output)
    try:
        same = options.file != "-" and output.exists() and Path(options.file).exists() and output.samefile(options.file)
    except OSError as error:
        raise UsageError(f"cannot write {options.output}: {error.strerror or error}") from None
    if same or output.suffix == ".fus":
        what = "is the diagram itself" if same else "would be taken for a diagram"
        raise UsageError(f"-o {options.output} {what}; name another file")


def _check_suffix(output: str | None, written: str, suffix: str, types: Sequence[str]) -> None:
    """A name that promises another kind of file is refused; one that promises nothing (`out.tmp`) will do."""
    if output in (None, "-") or Path(output).suffix.lower() == ".txt":
        return
    from mimetypes import MimeTypes  # its own tables only: those of the system differ

    kind, packing = MimeTypes().guess_type(Path(output).name.lower(), strict=False)
    if packing is not None or (kind is not None and kind not in types):
        path = Path(output)
        stem = Path(path.stem).stem if packing else path.stem  # `d.svg.gz` is packed
        proposed = path.with_name(stem + suffix)
        raise UsageError(f"-o {output}: what is written is {written}; write -o {proposed}")


def _write(output: str | None, text: str) -> None:
    """Write to a file, whole or not at all; to standard output where none or `-` is named."""
    from fusionc.files import write_whole

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
        current = Path(output).read_text(encoding="utf-8") if Path(output).is_file() else None
    except (OSError, UnicodeDecodeError):
        current = None
    if current == text:
        return EXIT_OK
    _complain(f"fusionc: {output} is not what the diagram compiles to; run the same command without --check")
    return EXIT_INPUT


def check_command(options: argparse.Namespace) -> int:
    from fusionc.driver import late_mistakes
    from fusionc.language.render import render_github, render_json, render_sarif, summary

    if options.fix or options.diff:
        return _fix(options)
    found: list[Diagnostic] = []
    for file in _each_once(options.files):
        try:
            checked = _check_file(file)
            found += checked.diagnostics if checked.has_errors else (*checked.diagnostics, *late_mistakes(checked))
        except CompileError as error:
            found += error.diagnostics
    if options.format == "text":
        _say(found)
        _complain(summary(found))
    else:
        forms = {"json": render_json, "sarif": render_sarif, "github": render_github}
        text = forms[options.format](found)
        sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")
    failed = any(diagnostic.is_error or options.strict for diagnostic in found)
    return EXIT_INPUT if failed else EXIT_OK


def _fix(options: argparse.Namespace) -> int:
    """`check --fix`: what is left of the mistakes decides the exit code."""
    from fusionc.language.render import render_text, summary
    from fusionc.language.repair import mend

    left: list[Diagnostic] = []
    for file in _each_once(options.files):
        try:
            source, folder = _source(file), None if file == "-" else Path(file).parent
            mended = mend(source, lambda text, folder=folder: _reading(text, folder))  # type: ignore[misc]
        except CompileError as error:
            left += error.diagnostics
            continue
        for one in mended.applied:
            _complain(f"{one.diagnostic.span}: {one.diagnostic.code} mended: {one.diagnostic.message}")
        if options.diff:
            sys.stdout.writelines(_diff(source, mended.source.text, "mended"))
        elif file == "-":
            sys.stdout.write(mended.source.text)
        elif mended.applied:
            _rewrite(file, mended.source.text)
        left += mended.diagnostics
    if left:
        _complain(render_text(left))
    _complain(summary(left))
    return EXIT_INPUT if any(one.is_error or options.strict for one in left) else EXIT_OK


def _reading(source: Source, folder: Path | None) -> tuple[Sequence[Diagnostic], object]:
    """What is said of a text, and what it means: of diagrams, everything but spaces and comments that a caller sees."""
    from fusionc.driver import check_source, late_mistakes

    checked = check_source(source, folder)
    if checked.has_errors:
        return checked.diagnostics, None
    found = (*checked.diagnostics, *late_mistakes(checked))
    if any(one.is_error for one in found):
        return found, None
    return found, [
        (diagram.name, diagram.graph.legs, diagram.graph.outputs, diagram.meaning) for diagram in checked.diagrams
    ]


def paths_command(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from fusionc.diagram.paths import public_paths
    from fusionc.tools import listing

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
    import json
    from dataclasses import asdict

    from fusionc.tools.progress import Progress
    from fusionc.tools.report import cost_report, cost_table

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
    import json
    from dataclasses import asdict

    from fusionc.tools.progress import Progress
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
    import json

    from fusionc.driver import as_number

    checked = _checked(options.file)
    numbers = list(checked.numbers)
    if options.diagram is not None:
        everything: list[CheckedNumber | CheckedDiagram] = [*checked.closed, *checked.diagrams]
        named = [diagram.scoped for diagram in everything if diagram.name == options.diagram]
        if not named:
            raise UsageError(_no_diagram(options, everything))
        numbers = [as_number(scoped) for scoped in named]
    if not numbers:
        raise UsageError(
            f"{options.file} holds no closed diagram, and none from one irrep to one irrep "
            "(numbers have neither channels nor weights)"
        )
    if options.json:
        print(json.dumps([_number_row(one, options) for one in numbers], indent=1, ensure_ascii=False))
        return EXIT_OK
    print("\n".join(line for number in numbers for line in _number_lines(number, options.formula, options.latex)))
    return EXIT_OK


def _number_row(number: CheckedNumber, options: argparse.Namespace) -> dict[str, object]:
    row: dict[str, object] = {"name": number.name, "value": str(number.value), "decimal": _as_float(number.value)}
    if row["decimal"] is None:
        row["digits"] = number.value.digits()
    if options.latex:
        row["latex"] = number.value.latex()
    if options.formula or options.latex:
        row["formula"] = [one.latex() if options.latex else str(one) for one in number.formulas]
    return row


def _as_float(value: Surd) -> float | None:
    """The nearest float64; None of a number that is too large for one, or too small to keep its digits."""
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if not value or abs(found) >= sys.float_info.min else None


def _number_lines(number: CheckedNumber, formula: bool, latex: bool) -> list[str]:
    exact = number.value.latex() if latex else str(number.value)
    decimal = _as_float(number.value)
    lines = [f"{number.name} = {exact} = {number.value.digits() if decimal is None else repr(decimal)}"]
    if formula or latex:
        terms = [one.latex() if latex else str(one) for one in number.formulas] or ["0"]
        lines += [f"  {'+ ' if place else '= '}{term}" for place, term in enumerate(terms)]
    return lines


def run_command(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from fusionc.tools.progress import Progress
    from fusionc.tools.run import run_molecule, run_random  # torch
    from fusionc.tools.structure import MoleculeError
    from fusionc.tools.verify import EQUIVARIANCE_BOUND

    _check_run(options)
    runs = []
    with Progress("running") as step, _enough_memory():
        for diagram in _chosen_with_sizes(options):
            named = step.named(diagram.name)
            if options.xyz is None:
                sizes = _sizes_of(diagram, options.size)
                batch = BATCH if options.batch is None else options.batch
                runs.append(run_random(diagram, batch, options.seed, named, sizes))
                continue
            try:
                cutoff = CUTOFF if options.cutoff is None else options.cutoff
                runs.append(run_molecule(diagram, options.xyz, cutoff, options.seed, named))
            except MoleculeError as error:
                raise UsageError(str(error)) from None
    print(json.dumps([asdict(run) for run in runs], indent=1) if options.json else "\n\n".join(map(str, runs)))
    return EXIT_OK if all(error < EQUIVARIANCE_BOUND for run in runs for _, error in run.equivariance) else EXIT_INPUT


def _check_run(options: argparse.Namespace) -> None:
    """Raise where a flag would be without effect: some are for molecules, some for random operands."""
    if options.xyz is None and options.cutoff is not None:
        raise UsageError("--cutoff says who is a neighbour in a molecule: name the molecule's file with --xyz")
    if options.xyz is not None and (options.size or options.batch is not None):
        flag = "--size" if options.size else "--batch"
        raise UsageError(
            f"{flag} is for random operands: with --xyz the molecule says how many atoms and pairs there are"
        )


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Operands that no machine can hold are the command line's fault: numpy and torch say so in many ways."""
    message = "there is not enough memory for so many random operands; choose a smaller --batch or --size"
    try:
        yield
    except (MemoryError, OverflowError):
        raise UsageError(message) from None
    except RuntimeError as error:
        if "allocate memory" in str(error):
            raise UsageError(message) from None
        raise


def fmt_command(options: argparse.Namespace) -> int:

    changed, code = [], EXIT_OK
    for file in _each_once(options.files):
        try:
            source = _source(file)
            text = _formatted(source)
        except CompileError as error:
            _say(error.diagnostics)
            code = max(code, EXIT_INPUT)
            continue
        if text != source.text:
            changed.append(file)
        if options.diff:
            sys.stdout.writelines(_diff(source, text))
        elif file == "-" and not options.check:
            sys.stdout.write(text)
        elif text != source.text and not options.check:
            try:
                _rewrite(file, text)
            except UsageError as error:  # the other files are to be formatted all the same
                _complain(f"fusionc: {error}")
                code = EXIT_USAGE
    if options.check and changed:
        _complain(f"would reformat: {', '.join(changed)}")
        code = max(code, EXIT_INPUT)
    return code


def _rewrite(file: str, text: str) -> None:
    """Put the canonical form in a file's place."""
    if not Path(file).is_file():  # a pipe has been read, and holds nothing any more
        raise UsageError(f"{file} is no file that can be rewritten; `fusionc fmt -` formats what it reads")
    _write(file, text)


def _formatted(source: Source) -> str:
    from fusionc.language.parser import parse
    from fusionc.language.printer import print_file

    result = parse(source)
    if result.diagnostics:
        raise CompileError(result.diagnostics)
    return print_file(result.file)


def _diff(source: Source, text: str, what: str = "formatted") -> list[str]:

    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, source.name, f"{source.name} ({what})")
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


def draw_command(options: argparse.Namespace) -> int:
    from fusionc.tools.draw import draw

    _check_output(options)
    _check_suffix(options.output, "SVG", ".svg", ("image/svg+xml", "text/xml"))
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

    from fusionc.language.codes import CODES
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


def _each_once(files: list[str]) -> list[str]:
    if files.count("-") > 1:
        raise UsageError("standard input, `-`, can be read only once")
    return files


def _source(file: str) -> Source:
    from fusionc.language.parser import read, read_stream

    return read_stream("<stdin>", sys.stdin) if file == "-" else read(file)


def _check_file(file: str) -> Checked:
    from fusionc.driver import check_source

    return check_source(_source(file), None if file == "-" else Path(file).parent)


def _checked(file: str) -> Checked:
    """A file without errors; its warnings go to standard error."""
    checked = _check_file(file)
    if checked.has_errors:
        raise CompileError(checked.diagnostics)
    _say(checked.diagnostics)
    return checked


def _require_diagrams(checked: Checked) -> None:
    from fusionc.driver import number_not_module

    if not checked.diagrams and checked.closed:
        raise CompileError([number_not_module(number) for number in checked.closed])
    if not checked.diagrams:
        raise UsageError(f"{checked.source.name} holds no diagram")


def _chosen(options: argparse.Namespace) -> tuple[CheckedDiagram, ...]:
    from fusionc.driver import number_not_module

    checked = _checked(options.file)
    _require_diagrams(checked)
    if options.diagram is None:
        if checked.closed:
            names = ", ".join(f"`{number.name}`" for number in checked.closed)
            _complain(f"fusionc: left out {names}: `fusionc eval` has the numbers of a file")
        return checked.diagrams
    for number in checked.closed:
        if number.name == options.diagram:
            raise CompileError([number_not_module(number)])
    chosen = tuple(diagram for diagram in checked.diagrams if diagram.name == options.diagram)
    if not chosen:
        raise UsageError(_no_diagram(options, (*checked.diagrams, *checked.closed)))
    return chosen


def _no_diagram(options: argparse.Namespace, diagrams: Sequence[CheckedDiagram | CheckedNumber]) -> str:
    names = ", ".join(diagram.name for diagram in diagrams)
    return f"{options.file} holds no diagram `{options.diagram}`; it holds: {names}"


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


def _say(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        from fusionc.language.render import render_text

        color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        _complain(render_text(diagnostics, color) + "\n")


COMMANDS = {
    "compile": compile_command,
    "check": check_command,
    "paths": paths_command,
    "cost": cost_command,
    "verify": verify_command,
    "eval": eval_command,
    "run": run_command,
    "fmt": fmt_command,
    "draw": draw_command,
    "explain": explain_command,
}
