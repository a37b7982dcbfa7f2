"""Sizes beyond which the compiler refuses, with the diagnostics that say so (F3xxx). One place for every limit."""

from __future__ import annotations

from fractions import Fraction

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, Label, diagnose
from fusionc.language.source import Span

MAX_L = 200
MAX_NUMBER_L = 10_000  # of diagrams that are numbers: no vertex tensor is made of them
MAX_DIM = 2**31 - 1
MAX_ROWS = 2**31 - 1
MAX_WEIGHTS = 2**31 - 1
MAX_PATHS = 1_000_000  # listed
MAX_EMITTED_PATHS = 20_000  # compiled
MAX_TREES = 200_000
MAX_STATES = 50_000
MAX_OPERANDS = 100  # on one line
MAX_WORK = 500_000  # steps of counting the paths of one line
MAX_COEFFICIENTS = 20_000_000  # entries of all vertex tensors of a diagram, zeros included


def spin_too_large(span: Span, text: str, largest: int = MAX_L) -> Diagnostic:
    """F3001. `largest` is `MAX_L` for what is compiled, `MAX_NUMBER_L` for numbers."""
    reason = "a vertex of three spins l has about (2*l+1)^2 coefficients" if largest == MAX_L else "they are exact"
    return diagnose(
        "F3001",
        f"the spin of `{text}` is larger than fusionc compiles",
        span,
        notes=[f"spins up to {largest:,} are accepted; {reason}"],
    )


def space_too_large(span: Span, dim: int) -> Diagnostic:
    """F3003."""
    return diagnose(
        "F3003",
        f"this space has {dim:,} components",
        span,
        notes=[f"a tensor's last dimension may have {MAX_DIM:,} components at most"],
    )


def rows_out_of_range(index: syntax.IndexType) -> Diagnostic:
    """F3004."""
    return diagnose(
        "F3004",
        f"an index of {index.size:,} rows",
        index.span,
        notes=[f"an index has at least one row and at most {MAX_ROWS:,}"],
    )


def too_many_paths(span: Span, count: int, what: str) -> Diagnostic:
    """F3005: the count is known without listing them."""
    return diagnose(
        "F3005",
        f"{what} has {_short(count)} paths",
        span,
        label="too many to list",
        notes=[
            f"a path becomes code and weights of its own; fusionc compiles up to {MAX_EMITTED_PATHS:,} in a diagram"
        ],
        help="restrict the internal edges (`in lmax 2`, `in 0e + 1o`), or sum paths earlier with a weight `* W[path]`",
    )


def program_too_long(span: Span, count: int, name: str) -> Diagnostic:
    """F3008: the diagram is in order, and too large to become code."""
    return diagnose(
        "F3008",
        f"the diagram `{name}` has {count:,} paths, too many to compile",
        span,
        notes=[f"a path becomes code of its own; fusionc compiles up to {MAX_EMITTED_PATHS:,} in a diagram"],
        help="restrict the internal edges (`in lmax 2`, `in 0e + 1o`), or cut the diagram in two",
    )


def too_many_weights(span: Span, count: int, name: str) -> Diagnostic:
    """F3006."""
    return diagnose(
        "F3006",
        f"the weight `{name}` has {_short(count)} elements",
        span,
        notes=[f"a weight may have {MAX_WEIGHTS:,} elements at most"],
        help="mix fewer channels, or let an index run through: `x[u] -> out[u] * W[path, u]`",
    )


def too_many_states(span: Span) -> Diagnostic:
    """F3007."""
    return diagnose(
        "F3007",
        "this line has too many combinations of irreps and channel sizes",
        span,
        help="couple fewer operands in one line, or restrict their irreps",
    )


def is_in_range(factor: Fraction) -> bool:
    """Whether a fixed factor is a number that float64 holds with room to spare, or zero."""
    return not factor or Fraction(1, 10**300) <= abs(factor) <= 10**300


def factor_out_of_range(span: Span) -> Diagnostic:
    """F3012."""
    return diagnose(
        "F3012",
        "a fixed factor beyond the range of numbers",
        span,
        notes=[
            "the factors of a line, and of those that its tree runs through, multiply to a number between 1e-300 and "
            "1e300, or to zero"
        ],
    )


def sum_too_long(span: Span, name: str, steps: int, limit: int) -> Diagnostic:
    """F3013: known from the shape of the network and its spins, before anything is summed."""
    return diagnose(
        "F3013",
        f"the loops of `{name}` are a sum of about {_power(steps)} steps",
        span,
        notes=[f"sums of up to {_power(limit)} steps are done; their length grows with the spins and the loops"],
        help="take smaller spins, label more of the wires, or cut the network where few wires run",
    )


def _power(steps: int) -> str:
    """To one digit: 3·10^12."""
    digits = str(steps)
    return f"{digits[0]}·10^{len(digits) - 1}" if digits[0] != "1" else f"10^{len(digits) - 1}"


def too_many_operands(span: Span, count: int) -> Diagnostic:
    """F3010."""
    return diagnose(
        "F3010",
        f"{count:,} operands meet in one line",
        span,
        notes=[f"a line couples up to {MAX_OPERANDS} operands"],
        help="couple them in several lines, through internal edges",
    )


def too_many_coefficients(span: Span, count: int) -> Diagnostic:
    """F3011."""
    return diagnose(
        "F3011",
        f"the vertex tensors of this diagram have {count:,} entries",
        span,
        notes=[f"a vertex of spins a, b and c has (2*a+1)(2*b+1)(2*c+1); all together may have {MAX_COEFFICIENTS:,}"],
        help="take smaller spins; restrict internal edges to those that are needed: `in lmax 6`",
    )


def misplaced_restriction(name: str, span: Span, there: Span, what: str, help: str) -> Diagnostic:
    """F1033."""
    message = f"`{name}` is restricted here and elsewhere"
    return diagnose("F1033", message, span, related=[Label(there, what)], help=help)


def _short(count: int) -> str:
    return f"{count:,}" if count < 10**12 else f"about 10^{len(str(count)) - 1}"
