"""The arithmetic of the torch target: each instruction of a program as a few large tensor operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import Instruction, LegBlock, Linear, Op, OutputBlock, Product, Program, ProgramOutput
from fusionc.program.patterns import Contraction, applies_matrix, contraction
from fusionc.program.runs import Run, runs
from fusionc.program.thresholds import now
from fusionc.targets.torch_patterns import (
    by_pairs,
    by_result,
    gathering,
    grid,
    is_dots,
    is_matrix_of,
    is_operand,
    is_side_by_side,
    joined,
    origin,
)
from fusionc.targets.torch_sums import Sums
from fusionc.targets.torch_tables import MatrixEntries
from fusionc.targets.torch_text import unflattened


@dataclass
class Arithmetic(Sums):
    """Prints the instructions of a program."""

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        """Whether an instruction is taken over by those that read it: a matrix made of an operand that is applied to
        others; products summed over channels that a linear map combines."""
        op, readers = instruction.op, self._readers.get(number, [])
        if isinstance(op, Product) and self._is_weighed_late(number, op, instruction):
            self._weighing[number] = op
            self.names[number] = self.names[op.left]
            return True
        if number in self._results or not readers:
            return False
        if isinstance(op, LegBlock):
            return all(gathering(self.program, reader.op, reader) is not None for reader in readers)
        if isinstance(op, Linear) and len(instruction.channels) > 1:
            alike = all(self.program.instructions[one].channels == instruction.channels for one in op.values)
            mixing = alike and is_side_by_side(op) and all(self._mixes(number, reader.op) for reader in readers)
            if mixing:
                self._sides[number] = [(op.values[s], i) for s, i, _, _ in sorted(op.entries, key=lambda e: e[2])]
            return mixing
        if instruction.channels:
            return False
        if isinstance(op, Linear):
            single = len(op.values) == 1 and op.values[0] not in self._dots and not op.order
            matrix = single and all(is_matrix_of(number, one) for one in readers)
            if matrix:
                self._forms[number] = op
            return matrix
        dots = isinstance(op, Product) and is_dots(self.program, op) and len(readers) == 1
        if isinstance(op, Product) and dots and self._combines_dots(readers[0].op):
            self._dots[number] = op
            return True
        return False

    def _is_weighed_late(self, number: int, op: Product, instruction: Instruction) -> bool:
        """Whether a value is multiplied by its weights, one for each path, on its way into an output: where it has to
        go to other places anyway."""
        outputs = [one for one in self.program.outputs if number in one.values]
        if self._readers.get(number) or len(outputs) != 1 or len(op.axes) != 1:
            return False
        if not self._is_weighing(op, instruction) or self.whole_value(outputs[0].blocks) is not None:
            return False
        found = [(block, run) for block in joined(outputs[0].blocks, self.program.layout) for run in runs(block)]
        return all(self._weights_of(op, block, run) for block, run in found if run.value == number)

    def _weights_of(self, op: Product, block: OutputBlock, run: Run) -> list[int]:
        """The component of the weights for each path of a run; none where a path has several."""
        if run.stride > 1:
            return []
        picks = [term[1] for term in op.terms[run.start : run.start + run.paths * block.dim]]
        if run.interleaved:
            paths = [set(picks[at :: run.paths]) for at in range(run.paths)]
        else:
            paths = [set(picks[at : at + block.dim]) for at in range(0, len(picks), block.dim)]
        return [min(path) for path in paths] if all(len(path) == 1 for path in paths) else []

    def _late_weights(self, found: Sequence[tuple[OutputBlock, Run]]) -> list[str]:
        """The weights [paths, channels] that each part of an output is multiplied by; empty where there are none. Those
        of a value that do not stand side by side are selected at once, in the order of its parts."""
        weights = [
            self._weights_of(self._weighing[r.value], b, r) if r.value in self._weighing else [] for b, r in found
        ]
        chosen: dict[int, tuple[str, list[int]]] = {}
        for value, op in self._weighing.items():
            own = [picks for (_, run), picks in zip(found, weights, strict=True) if run.value == value]
            name, order = self.names[op.right], list(range(self.program.instructions[op.right].components))
            if any(picks != list(range(picks[0], picks[0] + len(picks))) for picks in own):
                order = [pick for picks in own for pick in picks]
                name = self._let("w", self._selected(name, order, -2))
            chosen[value] = name, order
        texts = []
        for (_, run), picks in zip(found, weights, strict=True):
            if not picks:
                texts.append("")
                continue
            name, order = chosen[run.value]
            start = next(at for at in range(len(order)) if order[at : at + len(picks)] == picks)
            texts.append(name if len(picks) == len(order) else f"{name}.narrow(-2, {start}, {len(picks)})")
        return texts

    def _mixes(self, number: int, op: Op) -> bool:
        """Whether a value is the mixing weights of a product, whose components are used one by one."""
        if not isinstance(op, Product) or is_dots(self.program, op):
            return False
        found = contraction(op)
        return found is not None and found.mixer == number

    def _combines_dots(self, op: Op) -> bool:
        """Whether a linear map combines nothing but products summed over channels, which nothing else reads."""
        if not isinstance(op, Linear) or op.order:
            return False
        makes = [self.program.instructions[value].op for value in op.values]
        alone = all(len(self._readers[value]) == 1 and value not in self._results for value in op.values)
        return alone and all(isinstance(make, Product) and is_dots(self.program, make) for make in makes)

    def _product(self, op: Product, instruction: Instruction) -> str:
        for flip in (False, True):
            if applies_matrix(op, flip):
                return self._let("t", self._matrix_applied(op, instruction, flip))
        if is_dots(self.program, op):
            return self._let("t", self._dotted(op, instruction))
        if set(op.left_axes) & set(op.right_axes) - set(op.axes):
            return self._contracted(op, instruction)
        outer = self._outer(op, instruction)
        if outer is not None:
            return self._let("t", outer)
        regular = self._weighed(op, instruction) or self._summed(op, instruction) or self._layered(op, instruction)
        regular = regular or self._correlated(op, instruction)
        if regular is not None:
            return self._let("t", regular)
        op, entries = by_pairs(op)
        left, right = self._picked(op, False), self._picked(op, True)
        if op.left_axes == op.right_axes == op.axes:
            text = f"{left} * {right}"
        elif not op.right_axes and op.left_axes == op.axes:
            text = f"{left} * {right}[{_new_axes(len(op.axes))}]"
        elif not op.left_axes and op.right_axes == op.axes:
            text = f"{left}[{_new_axes(len(op.axes))}] * {right}"
        else:
            text = self._einsum(op, left, right)
        return self._let("t", self._added(entries, len(op.terms), instruction, text))

    def _einsum(self, op: Product, left: str, right: str) -> str:
        """One product for every term, T, with channels as they are spelled."""
        one, two = (_dots(self.program, value) for value in (op.left, op.right))
        return f'torch.einsum("{one}T{op.left_axes},{two}T{op.right_axes}->...T{op.axes}", {left}, {right})'

    def _matrix_applied(self, op: Product, instruction: Instruction, flip: bool) -> str:
        """One operand has no channels: it becomes a matrix over components, and is applied to the other."""
        source, other = (op.left, op.right) if flip else (op.right, op.left)
        form = self._forms.get(source)
        rows, columns = instruction.components, self.program.instructions[other].components
        base = source if form is None else form.values[0]
        name, channels = self.names[other], instruction.channels
        into = self._into(op) if self.program.instructions[other].domain is not None and len(channels) == 1 else ""
        repeated = 0 if into else self._copies(op, rows, columns, flip)
        entries: MatrixEntries = {}
        inner = {} if form is None else by_result(form)
        for i, j, k, sign in op.terms:
            at, row = (j, i) if flip else (i, j)
            for place, c in inner.get(row, ()) if form is not None else ((row, ONE),):
                key = (place, k if repeated else k * columns + at)
                value = c if sign > 0 else -c
                entries[key] = entries[key] + value if key in entries else value
        if repeated:
            factors = self._made_of(base, rows, 1, entries, instruction.note)
            if repeated == 1:
                return f"{factors} * {name}"
            return f"({unflattened(factors, -2, (columns, repeated))} * {name}.unsqueeze(-2)).flatten(-3, -2)"
        matrix = self._made_of(base, rows, columns, entries, instruction.note)
        if len(channels) > 1:
            return unflattened(f"{matrix} @ {name}.flatten({-len(channels)})", -1, channels)
        if into:
            return f"_multiplied({matrix}, {name}, {into})"
        if columns == 1:  # a column times a row: nothing is summed
            return f"{matrix} * {name}"
        if columns <= now().few and rows * columns * channels[0] < now().small:
            return f"_few({matrix}, {name})"
        return f"{matrix} @ {name}"

    def _copies(self, op: Product, rows: int, columns: int, flip: bool) -> int:
        """How many components of the result each component of the operand with channels makes, one behind the other and
        each alone, so that nothing is added up; 0 where that is not so."""
        taken = {term[2]: term[1] if flip else term[0] for term in op.terms}
        times = rows // columns
        whole = len(op.terms) == rows == times * columns and len(op.axes) == 1 and columns > 1
        return times if whole and [taken.get(k) for k in range(rows)] == [k // times for k in range(rows)] else 0

    def _made_of(self, base: int, rows: int, columns: int, entries: MatrixEntries, note: str) -> str:
        """A matrix [rows, columns] for every element, made of the components of an operand; made once, whichever way
        round it is used."""
        before, source = self._condition, self.program.instructions[base].op
        self._condition = "" if isinstance(source, LegBlock) else before
        name = self._made_once(base, rows, columns, entries, note)
        self._condition = before
        return name

    def _made_once(self, base: int, rows: int, columns: int, entries: MatrixEntries, note: str) -> str:
        straight = (self._condition, base, rows, columns, frozenset(entries.items()))
        if straight in self._matrices:
            return self._matrices[straight]
        turned = {(at, place % columns * rows + place // columns): c for (at, place), c in entries.items()}
        mirrored = (self._condition, base, columns, rows, frozenset(turned.items()))
        if mirrored in self._matrices:
            return f"{self._matrices[mirrored]}.mT"
        size = self.program.instructions[base].components
        made = f"{self.names[base]} @ {self._matrix(size, rows * columns, entries, note)}"
        self._matrices[straight] = name = self._let("m", unflattened(made, -1, (rows, columns)))
        return name

    def _dotted(self, op: Product, instruction: Instruction) -> str:
        """Products summed over channels, by themselves."""
        columns = self.program.instructions[op.right].components
        size = self.program.instructions[op.left].components * columns
        entries = {(i * columns + j, k): Surd.of(sign) for i, j, k, sign in op.terms}
        return f"{self._dots_of(op)} @ {self._matrix(size, instruction.components, entries, instruction.note)}"

    def _contracted(self, op: Product, instruction: Instruction) -> str:
        """Channels are summed: for each component of one operand one matrix product, or an einsum in general."""
        found = contraction(op)
        if found is None:
            op, summands = by_pairs(op)
            text = self._einsum(op, self._picked(op, False), self._picked(op, True))
            return self._let("t", self._added(summands, len(op.terms), instruction, text))
        together = self._mixed_together(op, found, instruction.components)
        if together is not None:
            return self._let("t", together)
        by_part: dict[int, list[tuple[int, int, int]]] = {}
        for i, j, k, sign in op.terms:
            part, at = (i, j) if found.flip else (j, i)
            by_part.setdefault(part, []).append((at, k, sign))
        pieces: list[str] = []
        order: list[tuple[int, int]] = []
        for part, terms in by_part.items():
            pieces.append(self._mixed_by(found, part, [at for at, _, _ in terms]))
            order += [(k, sign) for _, k, sign in terms]
        joined = pieces[0] if len(pieces) == 1 else self._let("p", self._tuple("torch.cat", pieces, "dim=-2"))
        n = instruction.components
        if [k for k, _ in order] == list(range(n)) and all(sign == 1 for _, sign in order):
            return self._let("t", joined)
        joined = self._let("p", joined)
        entries = {(k, at): Surd.of(sign) for at, (k, sign) in enumerate(order)}
        return self._let("t", self._applied(entries, n, len(order), joined, instruction))

    def _mixed_by(self, found: Contraction, part: int, places: Sequence[int]) -> str:
        """Some components of a value, mixed by one component of the weights; all are, where few would be slow and all
        are not many more."""
        value, mixer = (self.program.instructions[one] for one in (found.value, found.mixer))
        dim, work = -1 - found.summed, mixer.size // mixer.components
        small = len(places) * work < now().small <= value.components * work and value.components <= 2 * len(places)
        small &= mixer.domain is not None
        beside = list(places) == list(range(places[0], places[0] + len(places)))
        rows = self.names[found.value] if small and beside else self._some(found.value, places, dim)
        if found.summed > 1:
            rows = f"{rows}.flatten({-found.summed})"
        mixed = f"{rows} @ {self._mixing(found, part)}"
        return f"({mixed}).narrow(-2, {places[0]}, {len(places)})" if small and beside else mixed

    def _mixed_together(self, op: Product, found: Contraction, count: int) -> str | None:
        """A matrix product for all parts whose weights stand side by side: rows [k, p u] by [p u, w], where they are
        added up, or rows [k, w] by [w, p u], where each is a component of its own."""
        if found.summed != 1 or self.program.instructions[found.mixer].domain is None:
            return None
        mixers, value = self._mixers(found.mixer), self.names[found.value]
        added = grid(self.program, op, count, "pbk" if found.flip else "bpk")
        if added is not None and not found.turned:
            return f"_mixed_up({unflattened(value, -2, added)}, ({', '.join(mixers)},))"
        parts, rows = (self.program.instructions[one].components for one in (found.mixer, found.value))
        places = {k: (j, i) if found.flip else (i, j) for i, j, k, sign in op.terms if sign > 0}
        if (
            not (count == len(places) == len(op.terms))
            or parts < 2
            or not found.turned
            or now().mixed_zeros * count < rows * parts
        ):
            return None
        if len(mixers) == parts and count < rows * parts:
            return None
        pieces = [f"{value} @ {mixer}.flatten(-3, -2).mT" for mixer in mixers]
        joined = pieces[0] if len(pieces) == 1 else self._tuple("torch.cat", pieces, "dim=-1")
        width = self.program.instructions[found.mixer].channels[0]
        whole = f"{unflattened(joined, -1, (parts, width))}.flatten(-3, -2)"
        order = [places[k][0] * parts + places[k][1] for k in range(count)]
        return whole if order == list(range(rows * parts)) else self._selected(self._let("p", whole), order, -2)

    def _mixers(self, mixer: int) -> list[str]:
        """Mixing weights [parts, u, w], in pieces that stand side by side."""
        if mixer not in self._sides:
            return [self.names[mixer]]
        pieces: list[list[int]] = []  # value, start, count
        for value, at in self._sides[mixer]:
            if pieces and pieces[-1][0] == value and sum(pieces[-1][1:]) == at:
                pieces[-1][2] += 1
            else:
                pieces.append([value, at, 1])
        return [self._narrowed(self.names[value], value, at, count, -3) for value, at, count in pieces]

    def _mixing(self, found: Contraction, part: int) -> str:
        """One component of mixing weights, as a matrix [summed channels, others]."""
        value, at = self._sides[found.mixer][part] if found.mixer in self._sides else (found.mixer, part)
        axes = found.summed + 1
        dots = "" if self.program.instructions[value].domain is None else "..., "
        weight = f"{self.names[value]}[{dots}{at}, {', '.join(':' * axes)}]"
        if found.summed > 1:
            weight = f"{weight}.flatten({-axes}, -2)"
        return f"{weight}.mT" if found.turned else weight

    def _outer(self, op: Product, instruction: Instruction) -> str | None:
        """Every channel of one operand times every channel of the other, added up over components: a matrix product for
        each component of the result."""
        pair = len(op.left_axes) == len(op.right_axes) == 1 and op.axes in (
            op.left_axes + op.right_axes,
            op.right_axes + op.left_axes,
        )
        domains = (self.program.instructions[op.left].domain, self.program.instructions[op.right].domain)
        if not pair or op.left_axes == op.right_axes or None in domains or any(term[3] < 0 for term in op.terms):
            return None
        straight = op.axes == op.left_axes + op.right_axes
        whole = grid(self.program, op, instruction.components, "bkp" if straight else "kbp")
        if whole is not None:
            own, other = (op.left, op.right) if straight else (op.right, op.left)
            rows = f"{unflattened(self.names[own], -2, whole)}.flatten(-2)"
            return unflattened(f"{rows}.mT @ {self.names[other]}", -2, (whole[1], instruction.channels[0]))
        by_result: dict[int, tuple[list[int], list[int]]] = {}
        for i, j, k, _ in sorted(op.terms):
            lefts, rights = by_result.setdefault(k, ([], []))
            lefts.append(i)
            rights.append(j)
        if sorted(by_result) != list(range(instruction.components)):
            return None
        pieces = []
        for k in range(instruction.components):
            left, right = self._some(op.left, by_result[k][0], -2), self._some(op.right, by_result[k][1], -2)
            if not straight:
                left, right = right, left
            pieces.append(f"{left}.mT @ {right}")
        return f"({pieces[0]}).unsqueeze(-3)" if len(pieces) == 1 else self._tuple("torch.stack", pieces, "dim=-3")

    def output(self, output: ProgramOutput) -> str:
        """An output, flat. In `mul_ir` kept paths lie one behind the other; in `ir_mul` they interleave."""
        whole = self.whole_value(output.blocks)
        if whole is not None:
            name, channels = self._in_place(whole), len(self.program.instructions[whole].channels)
            return self._alone(f"{name}.flatten({-1 - channels})" if channels else name, whole)
        blocks = joined(output.blocks, self.program.layout)
        return self._one_behind_another(blocks) if self.program.layout == "mul_ir" else self._side_by_side(blocks)

    def _one_behind_another(self, blocks: Sequence[OutputBlock]) -> str:
        found = [(block, run) for block in blocks for run in runs(block)]
        weights = self._late_weights(found)
        views = [self._turned(block, run) for block, run in found]
        part, own = views[0]
        if len(views) == 1 and not self.into and not weights[0]:
            return self._alone(f"{part}.flatten({-own})" if own > 1 else part, found[0][1].value)
        texts = []
        for (block, run), (part, own), name in zip(found, views, weights, strict=True):
            texts.append(f"({part}, {own}, {_turned_weights(block, run, name) or None})")
        return self._wide("_behind", texts)

    def _side_by_side(self, blocks: Sequence[OutputBlock]) -> str:
        weights = iter(self._late_weights([(block, run) for block in blocks for run in runs(block)]))
        texts = []
        for block in blocks:
            parts = [f"({self._columns(block, run)}, {next(weights) or None})," for run in runs(block)]
            texts.append(
                "\n".join(["(", *(f"    {part}" for part in parts), ")"]) if len(parts) > 1 else f"({parts[0]})"
            )
        return self._wide("_interleaved", texts)

    def _alone(self, text: str, value: int) -> str:
        """A result in memory of its own: neither an operand's nor that of another result."""
        source = origin(self.program, value)
        shared = is_operand(self.program, source) or source in self._returned
        self._returned.add(source)
        return f"{text}.clone()" if shared else text

    def _wide(self, function: str, parts: Sequence[str]) -> str:
        """A call with a list of many parts, a line for each, that writes an output into its place."""
        name = self.fresh("out")
        inner = [line for part in parts for line in f"{part},".split("\n")]
        lines = [f"{name} = {function}(", "    (", *(f"        {line}" for line in inner), "    ),"]
        if self.into:
            lines.append(f"    {self.into},")
        self.say("\n".join([*lines, ")"]))
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

    def _columns(self, block: OutputBlock, run: Run) -> str:
        """Components [dim · paths, channels] as a view [dim, paths, channels]."""
        flat = self._flat(self._run(block, run), run.value)
        if run.paths == 1:
            return f"{flat}.unsqueeze(-2)"
        if run.interleaved:
            return unflattened(flat, -2, (block.dim, run.paths))
        return f"{unflattened(flat, -2, (run.paths, block.dim))}.transpose(-3, -2)"

    def _turned(self, block: OutputBlock, run: Run) -> tuple[str, int]:
        """Components [paths · dim, channels] as a view [paths, channels, dim], and how many dimensions those are."""
        piece, dim = self._run(block, run), block.dim
        if run.paths == 1 and not self.program.instructions[run.value].channels:
            return piece, 1
        flat = self._flat(piece, run.value)
        if dim == 1:
            return flat, 2
        if run.paths == 1:
            return f"{flat}.transpose(-1, -2)", 2
        if run.interleaved:
            return f"{unflattened(flat, -2, (dim, run.paths))}.movedim(-3, -1)", 3
        return f"{unflattened(flat, -2, (run.paths, dim))}.transpose(-1, -2)", 3


def _turned_weights(block: OutputBlock, run: Run, name: str) -> str:
    """Weights [paths, channels] as they multiply a part that `_turned` views."""
    if not name or block.dim == 1:
        return name
    return f"{name}.transpose(-1, -2)" if run.paths == 1 else f"{name}.unsqueeze(-1)"


def _dots(program: Program, value: int) -> str:
    return "" if program.instructions[value].domain is None else "..."


def _new_axes(count: int) -> str:
    return ", ".join(["..."] + ["None"] * count)
