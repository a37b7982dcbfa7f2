"""The arithmetic of the torch target: each instruction of a program as a few large tensor operations.

A value has shape [..., components, channels…]: components stand before channels, so that rows of channels are
contiguous and a sparse matrix over components is one matrix product. Constants and indices are slices of two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    OutputBlock,
    Pool,
    Product,
    Program,
    ProgramOutput,
    Scatter,
    Spread,
    WeightBlock,
    Zeros,
    operands,
)
from fusionc.targets.torch_arrange import Run, runs
from fusionc.targets.torch_grid import grids

WIDTH = 108
"""A statement that is longer is printed in several lines."""

MOST_GRIDS = 12
"""A product with weights is printed in so many regular pieces at most."""

MatrixEntries = dict[tuple[int, int], Surd]


@dataclass
class Tables:
    """Constants and indices of a file's function, one behind the other."""

    constants: list[tuple[str, int, dict[int, Surd]]] = field(default_factory=list)
    """(what it is, its start, nonzero entries by place)."""
    indices: list[int] = field(default_factory=list)
    size: int = 0
    _known: dict[object, int] = field(default_factory=dict)

    def matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> int:
        """The start of a matrix, row-major."""
        key = (rows, columns, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            flat = {self.size + i * columns + j: value for (i, j), value in sorted(entries.items(), key=lambda e: e[0])}
            self.constants.append((label, self.size, flat))
            self.size += rows * columns
        return self._known[key]

    def flat(self, size: int, entries: dict[int, Surd], label: str) -> int:
        """The start of a list of constants, given by its nonzero entries."""
        key = ("flat", size, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            self.constants.append(
                (label, self.size, {self.size + at: value for at, value in sorted(entries.items(), key=lambda e: e[0])})
            )
            self.size += size
        return self._known[key]

    def index(self, values: Sequence[int]) -> int:
        """The start of a list of indices."""
        key = ("index", tuple(values))
        if key not in self._known:
            self._known[key] = len(self.indices)
            self.indices += values
        return self._known[key]


@dataclass
class Arithmetic:
    """Prints the instructions of a program; `fresh` makes names, `say` takes statements."""

    program: Program
    fresh: Callable[[str], str]
    say: Callable[[str], None]
    constants: str
    index: str
    sizes: dict[str, str]
    """What the number of sites of a set is called."""
    tables: Tables = field(default_factory=Tables)
    names: dict[int, str] = field(default_factory=dict)
    _rows: dict[object, str] = field(default_factory=dict)
    _readers: dict[int, list[Instruction]] = field(default_factory=dict)
    _results: set[int] = field(default_factory=set)
    _forms: dict[int, Linear] = field(default_factory=dict)

    def run(self) -> None:
        """All statements, in order."""
        for instruction in self.program.instructions:
            for value in dict.fromkeys(operands(instruction.op)):
                self._readers.setdefault(value, []).append(instruction)
        self._results = {v for o in self.program.outputs for block in o.blocks for v, _ in block.pieces}
        for number, instruction in enumerate(self.program.instructions):
            if not self._postponed(number, instruction):
                self.names[number] = self._statement(number, instruction)

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        """Whether an instruction is a matrix made of an operand that the one product that reads it takes over."""
        op = instruction.op
        if not isinstance(op, Linear) or len(op.values) != 1 or op.order or instruction.channels:
            return False
        readers = self._readers.get(number, [])
        if number in self._results or len(readers) != 1 or not _is_matrix_of(number, readers[0]):
            return False
        self._forms[number] = op
        return True

    def site_dim(self, channels: int) -> int:
        """The axis of sites or pairs of a value."""
        return -2 - channels

    # --- statements ----------------------------------------------------------------------------------------------

    def _statement(self, number: int, instruction: Instruction) -> str:
        op = instruction.op
        if isinstance(op, LegBlock):
            return self._let(op.leg, self._leg(op, instruction), f"{op.leg}[")
        if isinstance(op, WeightBlock):
            return self._let(op.weight, self._weight(op, instruction), f"{op.weight}[")
        if isinstance(op, Linear):
            return self._linear(op, instruction)
        if isinstance(op, Product):
            return self._product(op, instruction)
        value, dim = self.names[op.value], self.site_dim(len(instruction.channels))
        if isinstance(op, Gather):
            return self._let("g", f"{value}.index_select({dim}, {op.relation}[{op.row}])")
        if isinstance(op, Scatter):
            assert instruction.domain
            return self._let(
                "s", f"_scatter({value}, {op.relation}[{op.row}], {self.sizes[instruction.domain]}, {dim})"
            )
        if isinstance(op, Pool):
            return self._let("s", f"{value}.sum({dim})")
        if isinstance(op, Spread):
            return self._let("s", f"{value}.unsqueeze({dim})")
        assert isinstance(op, Zeros)
        return self._let("zero", self._zeros(op, instruction))

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, shape = self.names[op.value], ", ".join(map(str, (instruction.components, *instruction.channels)))
        keep = -1 - len(self.program.instructions[op.value].channels)
        return f"{value}.new_zeros((*{value}.shape[:{keep}], {shape}))"

    def _let(self, wish: str, text: str, view: str = "") -> str:
        """A statement that names a value; what is a name already stays what it is."""
        if text.isidentifier():
            return text
        name = self.fresh(wish)
        function, _, rest = text.partition("(")
        if len(name) + len(text) < WIDTH or not _is_call(text):
            self.say(f"{name} = {text}")
            return name
        self.say(f"{name} = {function}(")
        for argument in _arguments(rest[:-1]):
            if len(argument) < WIDTH or not argument.startswith("("):
                self.say(f"    {argument},")
                continue
            self.say("    (")
            for part in _arguments(argument[1:-1]):
                self.say(f"        {part},")
            self.say("    ),")
        self.say(")")
        return name

    def _leg(self, op: LegBlock, instruction: Instruction) -> str:
        mul, start = (instruction.channels or (1,))[0], op.start
        total = sum(op.dims)
        leg = next(leg for leg in self.program.legs if leg.name == op.leg)
        whole = op.leg if start == 0 and total * mul == leg.dim else f"{op.leg}[..., {start}:{start + total * mul}]"
        if not instruction.channels:
            return whole
        if mul == 1:
            return f"{whole}.unsqueeze(-1)"
        if self.program.layout == "ir_mul":
            return f"{whole}.unflatten(-1, ({total}, {mul}))"
        parts = []
        for dim in op.dims:
            piece = f"{op.leg}[..., {start}:{start + dim * mul}]"
            start += dim * mul
            parts.append(
                f"{piece}.unsqueeze(-2)" if dim == 1 else f"{piece}.unflatten(-1, ({mul}, {dim})).transpose(-1, -2)"
            )
        return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim=-2)"

    def _weight(self, op: WeightBlock, instruction: Instruction) -> str:
        name, size, dots = op.weight, instruction.size, "..., "
        if op.rows:
            key = (op.weight, op.rows, op.reads)
            if key not in self._rows:
                self._rows[key] = self._let(f"{op.weight}_rows", self._row(op, instruction))
            name = self._rows[key]
        elif instruction.domain is None:
            dots = ""
        shape = ", ".join(map(str, (instruction.components, *instruction.channels)))
        piece = f"{name}[{dots}{op.start}:{op.start + size}]"
        return piece if not instruction.channels else f"{piece}.unflatten(-1, ({shape}))"

    def _row(self, op: WeightBlock, instruction: Instruction) -> str:
        """The rows that index legs select. An embedding refuses negative rows, which indexing would count from the
        end."""
        rows, domains = [], {leg.name: leg.domain for leg in self.program.legs}
        for name, read in zip(op.rows, op.reads, strict=True):
            if read is not None:
                rows.append(f"{name}.index_select(-1, {read[0]}[{read[1]}])")
            else:
                rows.append(f"{name}.unsqueeze(-1)" if instruction.domain and not domains[name] else name)
        if len(rows) == 1:
            return f"torch.nn.functional.embedding({rows[0]}, {op.weight})"
        return f"{op.weight}[{', '.join(rows)}]"

    # --- linear maps -----------------------------------------------------------------------------------------------

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        channels, n = len(instruction.channels), instruction.components
        dim = -1 - channels
        values = [self._shaped(value, instruction, op) for value in op.values]
        wish = "t"
        if all(c == ONE for *_, c in op.entries):
            plain = self._rearranged(op, instruction, values, dim)
            if plain is not None:
                return self._let(wish, plain)
        starts, total = [], 0
        for value in op.values:
            starts.append(total)
            total += self.program.instructions[value].components
        entries: MatrixEntries = {}
        for source, i, k, c in op.entries:
            place = (k, starts[source] + i)
            entries[place] = entries[place] + c if place in entries else c
        joined = values[0] if len(values) == 1 else self._let(wish, f"torch.cat(({', '.join(values)}), dim={dim})")
        return self._let(wish, self._applied(entries, n, total, joined, instruction))

    def _shaped(self, value: int, instruction: Instruction, op: Linear) -> str:
        """An operand with the channel axes of the result."""
        name, own = self.names[value], self.program.instructions[value].channels
        if op.order:
            axes = tuple(axis - len(own) for axis in op.order)
            places = tuple(place - len(own) for place in range(len(own)))
            return f"{name}.movedim({axes}, {places})"
        if own == instruction.channels:
            return name
        flat = f"{name}.flatten({-len(own)})" if len(own) > 1 else name
        if len(instruction.channels) < 2:
            return flat
        return f"{flat}.unflatten(-1, {instruction.channels})"

    def _rearranged(self, op: Linear, instruction: Instruction, values: list[str], dim: int) -> str | None:
        """A linear map whose coefficients are all one, without a matrix: a selection, or a sum of whole values."""
        n, entries = instruction.components, sorted(op.entries, key=lambda entry: (entry[2], entry[0]))
        if [k for _, _, k, _ in entries] == list(range(n)):
            runs: list[list[int]] = []  # source, start, length
            for source, i, _, _ in entries:
                if runs and runs[-1][0] == source and runs[-1][1] + runs[-1][2] == i:
                    runs[-1][2] += 1
                else:
                    runs.append([source, i, 1])
            if len(runs) > 8 and len(values) == 1:
                return self._selected(values[0], [i for _, i, _, _ in entries], dim)
            if len(runs) <= 8 * len(values):
                parts = [self._narrowed(values[s], op.values[s], start, length, dim) for s, start, length in runs]
                return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim={dim})"
            return None
        whole = all(self.program.instructions[value].components == n for value in op.values)
        if whole and len(entries) == n * len(values) and all(i == k for _, i, k, _ in entries):
            return " + ".join(values)
        return None

    def _narrowed(self, name: str, value: int, start: int, length: int, dim: int) -> str:
        if start == 0 and length == self.program.instructions[value].components:
            return name
        return f"{name}.narrow({dim}, {start}, {length})"

    def _selected(self, name: str, places: Sequence[int], dim: int) -> str:
        start = self.tables.index(places)
        return f"{name}.index_select({dim}, {self.index}[{start}:{start + len(places)}])"

    def _matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> str:
        start = self.tables.matrix(rows, columns, entries, label)
        return f"{self.constants}[{start}:{start + rows * columns}].view({rows}, {columns})"

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A constant matrix [rows, columns] over the components of a value."""
        channels = instruction.channels
        if not channels:
            turned = {(j, i): c for (i, j), c in entries.items()}
            return f"{value} @ {self._matrix(columns, rows, turned, instruction.note)}"
        matrix = self._matrix(rows, columns, entries, instruction.note)
        if len(channels) == 1:
            return f"_combined({matrix}, {value})"
        return f"_combined({matrix}, {value}.flatten({-len(channels)})).unflatten(-1, {channels})"

    # --- products --------------------------------------------------------------------------------------------------

    def _product(self, op: Product, instruction: Instruction) -> str:
        for flip in (False, True):
            if _applies_matrix(op, flip):
                return self._let("t", self._matrix_applied(op, instruction, flip))
        if set(op.left_axes) & set(op.right_axes) - set(op.axes):
            return self._contracted(op, instruction)
        weighed = self._weighed(op, instruction)
        if weighed is not None:
            return self._let("t", weighed)
        left, right = self._picked(op, False), self._picked(op, True)
        if op.left_axes == op.right_axes == op.axes:
            text = f"{left} * {right}"
        elif not op.right_axes and op.left_axes == op.axes:
            text = f"{left} * {right}[{_new_axes(len(op.axes))}]"
        elif not op.left_axes and op.right_axes == op.axes:
            text = f"{left}[{_new_axes(len(op.axes))}] * {right}"
        else:
            text = self._einsum(op, left, right)
        return self._let("t", self._added(op, instruction, text))

    def _weighed(self, op: Product, instruction: Instruction) -> str | None:
        """A value times weights, component by component, in a few regular pieces: nothing is gathered, and a value that
        nobody else reads is weighed where it is."""
        n = instruction.components
        plain = [term[2] for term in op.terms] == list(range(n)) and all(term[3] == 1 for term in op.terms)
        if not plain or op.left_axes != op.axes or op.right_axes != op.axes or not op.axes:
            return None
        if [term[0] for term in op.terms] != list(range(n)) or self.program.instructions[op.left].components != n:
            return None
        found = grids([term[1] for term in op.terms])
        if len(found) > MOST_GRIDS or self.program.instructions[op.right].domain is None:
            return None
        order = [pick for grid in found for pick in grid.picks]
        weights, dim = self.names[op.right], -1 - len(op.axes)
        if order != list(range(self.program.instructions[op.right].components)):
            weights = self._selected(weights, order, dim)
        fresh = len(self._readers.get(op.left, [])) == 1 and op.left not in self._results
        fresh = fresh and isinstance(self.program.instructions[op.left].op, Product)
        shapes = ", ".join(f"({grid.rows}, {grid.columns}, {grid.across})" for grid in found)
        return f"_weighed({self.names[op.left]}, {weights}, ({shapes},), {dim}, {fresh})"

    def _einsum(self, op: Product, left: str, right: str) -> str:
        """One product for every term, T, with channels as they are spelled."""
        one, two = (_dots(self.program, value) for value in (op.left, op.right))
        return f'torch.einsum("{one}T{op.left_axes},{two}T{op.right_axes}->...T{op.axes}", {left}, {right})'

    def _picked(self, op: Product, right: bool) -> str:
        """An operand's component for every term."""
        value = op.right if right else op.left
        places = [term[1] if right else term[0] for term in op.terms]
        name, components = self.names[value], self.program.instructions[value].components
        dim = -1 - len(op.right_axes if right else op.left_axes)
        if components == 1 or places == list(range(components)):
            return name
        if places == list(range(places[0], places[0] + len(places))):
            return f"{name}.narrow({dim}, {places[0]}, {len(places)})"
        return self._selected(name, places, dim)

    def _added(self, op: Product, instruction: Instruction, products: str) -> str:
        """Products, each with its sign, added up in the components that they belong to."""
        n, results = instruction.components, [term[2] for term in op.terms]
        if results == list(range(n)) and all(term[3] == 1 for term in op.terms):
            return products
        entries = {(k, at): Surd.of(sign) for at, (_, _, k, sign) in enumerate(op.terms)}
        return self._applied(entries, n, len(op.terms), self._let("p", products), instruction)

    def _matrix_applied(self, op: Product, instruction: Instruction, flip: bool) -> str:
        """One operand has no channels: it becomes a matrix over components, and is applied to the other."""
        source, other = (op.left, op.right) if flip else (op.right, op.left)
        form = self._forms.get(source)
        rows, columns = instruction.components, self.program.instructions[other].components
        entries: MatrixEntries = {}
        inner = {} if form is None else _by_result(form)
        for i, j, k, sign in op.terms:
            at, row = (j, i) if flip else (i, j)
            for place, c in inner.get(row, ()) if form is not None else ((row, ONE),):
                key = (place, k * columns + at)
                value = c if sign > 0 else -c
                entries[key] = entries[key] + value if key in entries else value
        base = source if form is None else form.values[0]
        size = self.program.instructions[base].components
        made = f"({self.names[base]} @ {self._matrix(size, rows * columns, entries, instruction.note)})"
        matrix = self._let("m", f"{made}.unflatten(-1, ({rows}, {columns}))")
        name, channels = self.names[other], instruction.channels
        if len(channels) == 1:
            return f"{matrix} @ {name}"
        return f"({matrix} @ {name}.flatten({-len(channels)})).unflatten(-1, {channels})"

    def _contracted(self, op: Product, instruction: Instruction) -> str:
        """Channels are summed: for each component of one operand one matrix product, or an einsum in general."""
        summed = "".join(axis for axis in op.left_axes if axis in op.right_axes and axis not in op.axes)
        flip = len(op.left_axes) > len(op.right_axes)
        mixer_axes, axes = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
        plain = mixer_axes == summed + op.axes and axes == summed
        by_part: dict[int, list[tuple[int, int, int]]] = {}
        for i, j, k, sign in op.terms:
            part, at = (i, j) if flip else (j, i)
            by_part.setdefault(part, []).append((at, k, sign))
        if not plain or len(op.axes) != 1:
            left, right = self._picked(op, False), self._picked(op, True)
            return self._let("t", self._added(op, instruction, self._einsum(op, left, right)))
        mixer, value = (op.left, op.right) if flip else (op.right, op.left)
        pieces: list[str] = []
        order: list[tuple[int, int]] = []
        dots = "" if self.program.instructions[mixer].domain is None else "..., "
        count = self.program.instructions[value].components
        for part, terms in by_part.items():
            places = [at for at, _, _ in terms]
            rows = self.names[value]
            if places != list(range(count)):
                run = places == list(range(places[0], places[0] + len(places)))
                dim = -1 - len(axes)
                rows = f"{rows}.narrow({dim}, {places[0]}, {len(places)})" if run else self._selected(rows, places, dim)
            if len(summed) > 1:
                rows = f"{rows}.flatten({-len(summed)})"
            weight = f"{self.names[mixer]}[{dots}{part}, {', '.join(':' * len(mixer_axes))}]"
            if len(summed) > 1:
                weight = f"{weight}.flatten({-len(mixer_axes)}, -2)"
            pieces.append(f"{rows} @ {weight}")
            order += [(k, sign) for _, k, sign in terms]
        joined = pieces[0] if len(pieces) == 1 else self._let("p", self._tuple("torch.cat", pieces, "dim=-2"))
        n = instruction.components
        if [k for k, _ in order] == list(range(n)) and all(sign == 1 for _, sign in order):
            return self._let("t", joined)
        joined = self._let("p", joined)
        entries = {(k, at): Surd.of(sign) for at, (k, sign) in enumerate(order)}
        return self._let("t", self._applied(entries, n, len(order), joined, instruction))

    # --- outputs -----------------------------------------------------------------------------------------------------

    def whole_output(self, blocks: Sequence[OutputBlock]) -> str | None:
        """A value that is the output as it stands: its components in the order of memory."""
        if self.program.layout != "ir_mul":
            return None
        at, value = 0, blocks[0].pieces[0][0]
        for block in blocks:
            for run in runs(block):
                apart = run.paths > 1 and not run.interleaved and block.dim > 1
                if run.value != value or run.start != at or run.stride > 1 or apart or len(runs(block)) > 1:
                    return None
                at += run.paths * block.dim
        instruction = self.program.instructions[value]
        if at != instruction.components:
            return None
        name, channels = self._in_place(value), len(instruction.channels)
        return f"{name}.flatten({-1 - channels})" if channels else name

    def _in_place(self, value: int) -> str:
        """A value with its components in front of its channels."""
        return self.names[value]

    def output(self, output: ProgramOutput) -> str:
        """An output, flat. In `mul_ir` kept paths lie one behind the other; in `ir_mul` they interleave."""
        whole = self.whole_output(output.blocks)
        if whole is not None:
            return whole
        if self.program.layout == "mul_ir":
            parts = [
                self._turned(self._run(block, run), run, block.dim) for block in output.blocks for run in runs(block)
            ]
            return parts[0] if len(parts) == 1 else self._wide("torch.cat", parts, "dim=-1")
        blocks = []
        for block in output.blocks:
            columns = [self._columns(self._run(block, run), run, block.dim) for run in runs(block)]
            blocks.append(f"({', '.join(columns)},)")
        return self._wide("_interleaved", blocks, "")

    def _wide(self, function: str, parts: Sequence[str], rest: str) -> str:
        """A call with a list of many parts, a line for each."""
        name = self.fresh("out")
        self.say(f"{name} = {function}(")
        self.say("    (")
        for part in parts:
            self.say(f"        {part},")
        self.say("    ),")
        if rest:
            self.say(f"    {rest},")
        self.say(")")
        return name

    def _run(self, block: OutputBlock, run: Run) -> str:
        """The components of some paths."""
        instruction, name, count = self.program.instructions[run.value], self.names[run.value], block.dim * run.paths
        dim = -1 - len(instruction.channels)
        if run.stride > 1:
            return self._let("p", self._selected(name, [run.start + k * run.stride for k in range(block.dim)], dim))
        if run.start == 0 and count == instruction.components:
            return name
        return f"{name}.narrow({dim}, {run.start}, {count})"

    def _flat(self, piece: str, value: int) -> str:
        """With one channel axis."""
        channels = len(self.program.instructions[value].channels)
        return f"{piece}.unsqueeze(-1)" if not channels else f"{piece}.flatten({-channels})" if channels > 1 else piece

    def _columns(self, piece: str, run: Run, dim: int) -> str:
        """Components [dim · paths, channels] as [dim, paths · channels]."""
        flat = self._flat(piece, run.value)
        if run.paths == 1:
            return flat
        if run.interleaved:
            return f"{flat}.unflatten(-2, ({dim}, {run.paths})).flatten(-2)"
        return f"{flat}.unflatten(-2, ({run.paths}, {dim})).transpose(-3, -2).flatten(-2)"

    def _turned(self, piece: str, run: Run, dim: int) -> str:
        """Components [paths · dim, channels] as [paths · channels · dim]."""
        if run.paths == 1 and not self.program.instructions[run.value].channels:
            return piece
        flat = self._flat(piece, run.value)
        if dim == 1:
            return f"{flat}.flatten(-2)" if run.paths > 1 else f"{flat}.squeeze(-2)"
        if run.paths == 1:
            return f"{flat}.transpose(-1, -2).flatten(-2)"
        if run.interleaved:
            return f"{flat}.unflatten(-2, ({dim}, {run.paths})).movedim(-3, -1).flatten(-3)"
        return f"{flat}.unflatten(-2, ({run.paths}, {dim})).transpose(-1, -2).flatten(-3)"

    def _tuple(self, function: str, parts: Sequence[str], rest: str) -> str:
        names = [part if part.isidentifier() else self._let("p", part) for part in parts]
        return f"{function}(({', '.join(names)}), {rest})"


def _is_call(text: str) -> bool:
    """Whether a text is one call: its first bracket closes at its end."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == ")" and depth == 0:
            return at == len(text) - 1 and text.partition("(")[0].replace(".", "").isidentifier()
    return False


def _arguments(text: str) -> list[str]:
    """The arguments of a call: what stands between its commas, those inside brackets and quotes left out."""
    found, depth, start, quoted = [], 0, 0, False
    for at, character in enumerate(text):
        quoted ^= character == '"'
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and not quoted:
            found.append(text[start:at].strip())
            start = at + 1
    return [part for part in (*found, text[start:].strip()) if part]


def _by_result(form: Linear) -> dict[int, list[tuple[int, Surd]]]:
    """The entries of a linear map of one value, by component of the result."""
    found: dict[int, list[tuple[int, Surd]]] = {}
    for _, i, k, c in form.entries:
        found.setdefault(k, []).append((i, c))
    return found


def _applies_matrix(op: Product, flip: bool) -> bool:
    """Whether one operand (the right one, or the left) has no channels and the other has those of the result."""
    own, other = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
    return not own and bool(other) and other == op.axes


def _is_matrix_of(number: int, instruction: Instruction) -> bool:
    op = instruction.op
    if not isinstance(op, Product):
        return False
    return (op.right == number and _applies_matrix(op, False)) or (
        op.left == number and not _applies_matrix(op, False) and _applies_matrix(op, True)
    )


def _dots(program: Program, value: int) -> str:
    return "" if program.instructions[value].domain is None else "..."


def _new_axes(count: int) -> str:
    return ", ".join(["..."] + ["None"] * count)
