"""The Triton target: the torch target's module, with kernels for GPUs behind it.

A diagram has three stages for backward mode, its value, the gradients, the gradients of these, and behind them stages
for forward mode: the tangents of the value, for tangents of all operands, of all legs, of one operand. Each is a
program of its own (see `program/derive`), cut into kernels (`triton_plan`), printed (`triton_kernel`) and launched
(`triton_stage`). The statements of the torch target stand in the same file: they run on other devices, and wherever a
kernel cannot.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from fusionc.program.derive import differentiable, linear, vjp
from fusionc.program.ir import Program
from fusionc.program.tangents import jvp
from fusionc.targets import torch as torch_target
from fusionc.targets.registry import Emission, Options
from fusionc.targets.shell import WIDTH, file_text
from fusionc.targets.torch_text import listed
from fusionc.targets.triton_kernel import Kernel, Table
from fusionc.targets.triton_stage import Stage, sorted_rows, stage

ORDERS = ("the value", "the gradients", "the gradients of the gradients")
NO_COMPLEX = "no kernels: Triton has no complex numbers"
DEFAULTS = Options()
Tag = dict[str, object]


@dataclass(frozen=True)
class Kernels:
    """The stages of one diagram: operands in order, what results are gradients of, and which sums need sorted pairs.
    Those behind the two or three of backward mode compute tangents: `tangents` are the places of the operands whose
    tangents they take, `linear` of those in which the value is linear. Where it is in all of them two stages do for
    everything."""

    stages: tuple[Stage, ...]
    operands: tuple[tuple[str, ...], ...]
    results: tuple[tuple[int, ...], ...]
    tangents: tuple[tuple[int, ...], ...]
    linear: tuple[int, ...]
    sorted_by: tuple[tuple[str, int], ...]

    @property
    def is_multilinear(self) -> bool:
        """Whether the value is linear in every operand."""
        return len(self.linear) == len(self.operands[0])

    def about(self, level: int) -> str:
        """What a stage computes."""
        orders = len(self.results) + 1
        if level < orders:
            return ORDERS[level]
        moved = [f"`{self.operands[0][place]}`" for place in self.tangents[level - orders]]
        return f"the tangent of the value, where {_and(moved)} {'has one' if len(moved) == 1 else 'have one'}"


def emit(emissions: Sequence[Emission], options: Options) -> str:
    """The text of a file with one module and one function for each diagram, and the kernels that they run on a GPU."""
    names = torch_target.file_names(emissions)
    diagrams = [_Printer(one, file, options).diagram() for one, file in zip(emissions, names, strict=True)]
    return file_text("triton", diagrams, options)


def description(program: Program, options: Options = DEFAULTS) -> tuple[str, ...]:
    """What runs where: one line for each kernel of every stage, and for all that runs in torch on a GPU too."""
    if program.is_complex:
        return (f"in torch: everything, {NO_COMPLEX}",)
    return _description(program, kernels(program, options))


def _description(program: Program, found: Kernels) -> tuple[str, ...]:
    lines: list[str] = []
    for level, one in enumerate(found.stages):
        lines += [f"{one.name}: {found.about(level)}", *one.description()]
    return (*lines, *_together(found), *_outside(program, found))


def _together(found: Kernels) -> list[str]:
    """Derivatives that are put together of several stages."""
    if found.is_multilinear:
        return [
            "derivatives of gradients, tangents: stages 0 and 1 for each direction, in its operand's place, added up"
        ]
    lines = ["tangents of gradients, gradients of tangents: stages 1 and 2, with zeros where there is no tangent"]
    if len(found.operands[0]) > 1:
        lines.append("tangents of other operands: a launch for each (the value's kernels where it is linear), added up")
    return lines


def _outside(program: Program, found: Kernels) -> list[str]:
    """What runs in torch on a GPU too, beside the instructions of the stages."""
    lines = []
    if any(one.why.startswith("mixes channels") for stage in found.stages for one in stage.outside):
        lines.append("what mixes channels in a way that tl.dot cannot, for the reason beside it: torch.einsum")
    if any(buffer.programs or buffer.blocks > 1 for kernel in _all_kernels(found) for buffer in kernel.buffers):
        lines.append("sums that programs or blocks of channels make in parts: added up by torch's sum")
    for relation, row in found.sorted_by:
        lines.append(f"the pairs of `{relation}`: sorted by row {row}, once; compiled or in torch.func at every call")
    if not found.is_multilinear:
        lines.append("derivatives of stage 2 (third order), tangents of tangents unless linear")
    weights, relations = ([f"`{one.name}`" for one in some] for some in (program.weights, program.relations))
    if weights or relations:
        gradients = " and over gradients by weights" if weights else ""
        lines.append(f"torch.vmap over {_and([*weights, *relations])}{gradients}")
    lines.append("autograd.grad with is_grads_batched, whose tensors have no memory of their own")
    lines.append("torch.func inside of torch.compile, where kernels are operators that it cannot look into")
    lines.append("exported programs, which run where nobody knows these operators")
    return [f"in torch: {line}" for line in lines]


def _all_kernels(found: Kernels) -> list[Kernel]:
    return [kernel for stage in found.stages for kernel in stage.kernels]


def kernels(program: Program, options: Options = DEFAULTS, name: str = "") -> Kernels:
    """The stages of a program."""
    name = name or f"_{program.name}"
    programs, operands, results, likes = [program], [differentiable(program)], [], [(0,) * len(program.outputs)]
    alone = linear(program)
    is_multilinear = alone == operands[0]
    for _ in ORDERS[1 : 2 if is_multilinear else None]:
        derived = vjp(programs[-1])
        places = tuple(operands[-1].index(operand) for operand, _ in derived.results)
        programs.append(derived.program)
        results.append(places)
        likes.append(places)
        operands.append((*operands[-1], *(given for _, given in derived.given)))
    tangents = () if is_multilinear else _tangents(program, alone)
    for moved in tangents:
        derived = jvp(program, moved)
        programs.append(derived.program)
        likes.append(likes[0])
        operands.append((*operands[0], *(given for _, given in derived.given)))
    stages = tuple(
        stage(one, f"{name}_{level}", operands[level], likes[level], options) for level, one in enumerate(programs)
    )
    keys = dict.fromkeys(key for one in programs for key in sorted_rows(one, options.sums))
    return Kernels(
        stages,
        tuple(operands),
        tuple(results),
        tuple(tuple(operands[0].index(operand) for operand in moved) for moved in tangents),
        tuple(operands[0].index(operand) for operand in alone),
        tuple(keys),
    )


def _tangents(program: Program, alone: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The sets of operands that have a stage for their tangents: all, all legs (learned weights stay as they are), and
    each in which the value is not linear (`alone`: those in which it is). Any other set is a sum
    of what one operand at a time gives."""
    everything = differentiable(program)
    legs = tuple(leg.name for leg in program.legs if leg.name in everything)
    sets = [everything, legs, *((operand,) for operand in everything)]
    return tuple(dict.fromkeys(one for one in sets if len(one) > 1 or one not in [(operand,) for operand in alone]))


class _Printer(torch_target._Printer):
    """The torch target's printer, with its statements in a function of their own and the kernels beside it."""

    def __init__(self, emission: Emission, file: torch_target.FileNames, options: Options) -> None:
        super().__init__(emission, file, options)
        self.kernels_function = self.namer.fresh(f"_{self.program.name}_kernels")

    def _conversions(self, first: str) -> list[str]:
        """What the kernels cannot run goes on in torch, in one dtype."""
        plain = super()._conversions(first)
        if self.program.is_complex:
            return [f"# {NO_COMPLEX}", *plain]
        call = ", ".join((*self._operands(), *self._passed(self.program)))
        return [f"if _runs_kernels({first}):", f"    return {self.kernels_function}({call})", *plain]

    def diagram(self) -> Tag:
        values = super().diagram()
        if self.program.is_complex:
            return values | {"stages": [], "table_of_kernels": []}
        return values | {"kernels_function": self.kernels_function, **self._stages()}

    def _site_sizes(self) -> dict[str, str]:
        """Where a caller's operands say how many sites a set has."""
        found = {}
        for name in self.program.sites:
            leg = next((leg for leg in self.program.legs if leg.domain == name), None)
            axis = -1 if leg is not None and leg.kind == "index" else -2
            found[name] = name if leg is None else f"{leg.name}.shape[{axis}]"
        return found

    def _names(self) -> list[str]:
        return [leg.name for leg in self.program.legs] + [weight.name for weight in self.program.weights]

    # --- stages ----------------------------------------------------------------------------------------------------

    def _stages(self) -> Tag:
        prefix = self.namer.fresh(f"_{self.program.name}_stage")
        found = kernels(self.emission.program, self.options, prefix)
        about = [part for line in _description(self.program, found) for part in textwrap.wrap(line, WIDTH)]
        domains = ["", *self.program.sites, *(f"r_{relation.name}" for relation in self.program.relations)]
        by_row, diagram = self.namer.fresh(f"{prefix}_rows"), self.namer.fresh(f"_{self.program.name.upper()}")
        return {
            "about": about,
            "stages": [self._stage(one, found, level) for level, one in enumerate(found.stages)],
            "by_row": by_row,
            "by_row_body": self._by_row(found),
            "diagram": diagram,
            "functions": ", ".join(one.name for one in found.stages),
            "counts": tuple(len(names) for names in found.operands),
            "results": found.results,
            "shapes": tuple(
                tuple(
                    (like, None if domain is None else domains.index(domain), shape)
                    for like, domain, shape in one.shapes
                )
                for one in found.stages
            ),
            "weight_places": tuple(self._weight_places(found, level) for level in range(len(found.stages))),
            "tangents": found.tangents,
            "linear": found.linear,
            "rows": sum(leg.kind == "index" for leg in self.program.legs),
            "operator": self.program.name,
            "keeps": any(self._keeps(one) for one in found.stages),
            "kernels_body": self._with_kernels(found, diagram),
            "table_of_kernels": [
                {"name": one.name, "warps": one.tile.warps, "types": self._types(one, found)}
                for each in found.stages
                for one in each.kernels
            ],
        }

    @staticmethod
    def _keeps(one: Stage) -> bool:
        """Whether a stage keeps tensors on the devices where it runs."""
        return bool(one.tables.size or one.tables.indices) or any(kernel.table for kernel in one.kernels)

    def _weight_places(self, found: Kernels, level: int) -> tuple[int, ...]:
        weights = {weight.name for weight in found.stages[level].program.weights}
        return tuple(place for place, name in enumerate(found.operands[level]) if f"p_{name}" in weights)

    def _stage(self, one: Stage, found: Kernels, level: int) -> Tag:
        tables = one.tables
        places = {place: value for _, flat in tables.constants for place, value in flat.items()}
        fixed = self._fixed(found)
        unpacked = []
        if fixed:
            unpacked.append(f"{', '.join(fixed)}{',' if len(fixed) == 1 else ''} = [one.contiguous() for one in fixed]")
        sizes = ["batch", *self._sizes()]
        unpacked.append(f"{', '.join(sizes)}{',' if len(sizes) == 1 else ''} = sizes")
        return {
            "function": one.name,
            "headline": f"Stage {level} of `{self.program.name}`: {found.about(level)}.",
            "kernels": [kernel.lines for kernel in one.kernels],
            "lines": [*unpacked, *one.lines],
            "tables": [
                {
                    "name": f"{kernel.name.upper()}_TABLE",
                    "rows": listed(_rows(kernel.table), WIDTH - 8),
                    "places": listed([f"{place}," for place in kernel.table.places], WIDTH - 8),
                }
                for kernel in one.kernels
                if kernel.table
            ],
            "table": f"{one.name.upper()}_CONSTANTS",
            "table_size": tables.size,
            "constants": listed([f"{at}: {float(c)!r}," for at, c in places.items()], WIDTH - 8),
            "index_table": f"{one.name.upper()}_INDICES",
            "indices": listed([f"{place}," for place in tables.indices], WIDTH - 8),
            "index_sizes": listed([f"{size}," for size in tables.index_sizes], WIDTH - 8),
            "sizes": listed([f"{size}," for size in tables.sizes], WIDTH - 8),
        }

    def _sizes(self) -> list[str]:
        return [f"n_{name}" for name in (*self.program.sites, *(f"r_{one.name}" for one in self.program.relations))]

    def _fixed(self, found: Kernels) -> list[str]:
        """What is not differentiated: index legs, relations, sorted pairs."""
        names = [f"p_{leg.name}" for leg in self.program.legs if leg.kind == "index"]
        names += [f"r_{relation.name}" for relation in self.program.relations]
        for relation, row in found.sorted_by:
            names += [f"r_{relation}_order_{row}", f"r_{relation}_start_{row}"]
        return names

    def _types(self, one: Kernel, found: Kernels) -> dict[str, str]:
        """The types of a kernel's arguments: operands as they are, the numbers of the arithmetic, integers."""
        integers = set(self._fixed(found))
        types = {}
        for name in one.arguments:
            if name in integers or name in ("terms", "places"):
                types[name] = "*i64"
            elif name in ("cells", "coefficients"):
                types[name] = "*compute"
            elif name == "batch" or name.startswith("n_"):
                types[name] = "i32"
            else:
                types[name] = "*compute" if name.startswith("b") and name[1:].isdigit() else "*operand"
        return types

    # --- from operands to rows and back ------------------------------------------------------------------------------

    def _with_kernels(self, found: Kernels, diagram: str) -> list[str]:
        """Operands of one batch shape become rows; results become what the caller asked for."""
        program, lines = self.program, []
        first = next(leg for leg in program.legs if leg.kind == "tensor")
        keep = 1 + bool(first.domain)
        leading, values, others, counts, found_ = map(
            self.namer.fresh, ("leading", "operands", "fixed", "sizes", "found")
        )
        lines.append(f"{leading} = {first.name}.shape[: {first.name}.ndim - {keep}]")
        sizes = [f"math.prod({leading})"]
        counted = self._site_sizes()
        sizes += counted.values()
        sizes += [f"{relation.name}.shape[1]" for relation in program.relations]
        operands = []
        for name in differentiable(program):
            leg = next((leg for leg in program.legs if leg.name == name), None)
            operands.append(name if leg is None else f"{name}.reshape(-1, {leg.dim})")
        fixed = [
            f"_check_inside({leg.name}.reshape(-1).to(torch.int64), {leg.dim})"
            for leg in program.legs
            if leg.kind == "index"
        ]
        fixed += [f"{relation.name}.contiguous()" for relation in program.relations]
        for relation in program.relations:  # (what is sorted is checked there)
            ends = enumerate((relation.first, relation.second))
            free = [(row, end) for row, end in ends if (relation.name, row) not in found.sorted_by]
            lines += [f"_check_inside({relation.name}[{row}], {counted[end]})" for row, end in free]
        for name, row in found.sorted_by:
            relation = next(one for one in program.relations if one.name == name)
            fixed.append(f"*_sorted_pairs({name}, {row}, {counted[(relation.first, relation.second)[row]]})")
        lines += [
            f"{values} = {_tuple(operands)}",
            f"{others} = {_tuple(fixed)}",
            f"{counts} = {_tuple(sizes)}",
            f"{found_} = _evaluate({diagram}, 0, {values}, {others}, {counts})",
        ]
        over = counted | {relation.name: f"{relation.name}.shape[1]" for relation in program.relations}
        shaped = [
            f"{found_}[{place}].reshape(*{leading}, {f'{over[output.domain]}, ' if output.domain else ''}{output.dim})"
            for place, output in enumerate(program.outputs)
        ]
        several = f"{self.file.result}({', '.join(shaped)})"
        lines.append(f"return {shaped[0] if len(shaped) == 1 else several}")
        return lines

    def _by_row(self, found: Kernels) -> list[str]:
        """The plain function on rows."""
        program, lines = self.program, []
        names = [f"p_{name}" for name in found.operands[0]]
        lines.append(f"{', '.join(names)}{',' if len(names) == 1 else ''} = operands")
        fixed = [f"p_{leg.name}" for leg in program.legs if leg.kind == "index"]
        fixed += [f"r_{relation.name}" for relation in program.relations]
        if fixed:
            lines.append(f"{', '.join(fixed)}, *_ = fixed")
        sizes = ["batch", *self._sizes()]
        lines.append(f"{', '.join(sizes)}{',' if len(sizes) == 1 else ''} = sizes")
        lines += [f"dtype, compute = {names[0]}.dtype, _compute({names[0]})"]
        relations = {relation.name: f"r_{relation.name}" for relation in program.relations}
        arguments = []
        for leg in program.legs:
            rest, kind = ("", "") if leg.kind == "index" else (f", {leg.dim}", ".to(compute)")
            shaped = f"p_{leg.name}.reshape(batch, n_{relations.get(leg.domain, leg.domain)}{rest})"
            arguments.append(f"{shaped if leg.domain else f'p_{leg.name}'}{kind}")
        arguments += [f"p_{weight.name}.to(compute)" for weight in program.weights]
        passed = [f"{name}={other}" for name, other in relations.items()]
        passed += [f"{self.sizes[name]}=n_{name}" for name in program.sites]
        lines.append(f"found = {self.file.inner}({', '.join((*arguments, *passed))})")
        each = ["found"] if len(program.outputs) == 1 else [f"found[{place}]" for place in range(len(program.outputs))]
        rows = [
            f"{one}.flatten(0, 1).to(dtype)" if output.domain else f"{one}.to(dtype)"
            for one, output in zip(each, program.outputs, strict=True)
        ]
        lines.append(f"return {_tuple(rows)}")
        return lines


def _rows(table: Table) -> list[str]:
    return [f"({row.left}, {row.right}, {row.to}, {row.coefficient!r})," for row in table.rows]


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
