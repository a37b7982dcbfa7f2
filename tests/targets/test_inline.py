"""What generated files have of the runtime: copies of what they use, and nothing else."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from pathlib import Path

import pytest

import fusionc
from fusionc.targets.inline import FOLDER, TORCH, TRITON, copies, everything, read, runtime, words

DIAGRAMS = sorted((Path(__file__).parents[1] / "golden").glob("*.fus"))
DEFINITIONS = runtime().definitions


def undefined(text: str) -> set[str]:
    """Names that a text reads and does not define, in any of its functions."""
    top = symtable.symtable(text, "copies", "exec")
    known = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
    tables, used = [top], set[str]()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        used |= {one.get_name() for one in table.get_symbols() if one.is_global() and one.is_referenced()}
    return {name for name in used - known if not hasattr(builtins, name)}


def defined(text: str) -> list[str]:
    """What a text defines at its top level."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return found


def test_every_module_has_its_turn() -> None:
    assert sorted((*TORCH, *TRITON, "__init__")) == sorted(path.stem for path in FOLDER.glob("*.py"))


def test_no_name_is_defined_twice() -> None:
    names = [definition.name for definition in DEFINITIONS]
    assert len({*names, *runtime().imports}) == len(names) + len(runtime().imports)


def test_a_copy_comes_with_all_that_it_uses() -> None:
    for definition in DEFINITIONS:
        copied = copies(definition.name, with_kernels=True)
        text = f"{copied.imports}\n\n{copied.helpers}\n\n{copied.kernel_helpers}\n"
        assert definition.name in defined(text)
        assert undefined(text) == set(), definition.name


def test_copies_are_what_is_written_in_the_order_in_which_it_is_written() -> None:
    sources = {module: (FOLDER / f"{module}.py").read_text("utf-8") for module in (*TORCH, *TRITON)}
    places = []
    for definition in DEFINITIONS:
        assert f"\n{definition.text}\n" in sources[definition.module]
        places.append(((*TORCH, *TRITON).index(definition.module), sources[definition.module].index(definition.text)))
    assert places == sorted(places)
    copied = copies(" ".join(reversed([definition.name for definition in DEFINITIONS])), with_kernels=True)
    assert copied == copies(" ".join(definition.name for definition in DEFINITIONS), with_kernels=True)
    assert defined(f"{copied.helpers}\n{copied.kernel_helpers}") == [definition.name for definition in DEFINITIONS]


def test_all_copies_together_are_a_module() -> None:
    text = f"from __future__ import annotations\n\n{everything()}"
    namespace = {"__name__": "all_copies"}
    exec(compile(text, "all_copies", "exec"), namespace)
    assert {definition.name for definition in DEFINITIONS} <= {*namespace}
    assert "fusionc." not in text


@pytest.mark.parametrize("target", ["torch", "triton"])
@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.stem)
def test_files_have_what_they_use_and_nothing_else(path: Path, target: str) -> None:
    text = fusionc.load(path).emit(target)
    assert undefined(text) == set()
    read_by: dict[str, set[str]] = {}
    imported: set[str] = set()
    for node in ast.parse(text).body:
        parts = [*ast.walk(node)]
        imported |= {part.asname or part.name for part in parts if isinstance(part, ast.alias)}
        if not isinstance(node, ast.Try):  # (an import that may fail)
            for part in parts:
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                    read_by.setdefault(part.id, set()).add(getattr(node, "name", ""))
    helpers = {definition.name for definition in DEFINITIONS}.intersection(defined(text))
    assert helpers
    unused = [name for name in sorted(helpers | imported) if not read_by.get(name, set()) - {name}]
    assert {*unused} <= {"annotations"}


def test_helpers_that_nothing_uses_are_not_kept() -> None:
    """Each is named by another one, or by what prints files."""
    package = FOLDER.parent
    printers = "\n".join(path.read_text("utf-8") for path in sorted(package.glob("*.py")))
    templates = package.parent.parent / "templates"
    printers += "\n".join(path.read_text("utf-8") for path in sorted(templates.rglob("*.jinja")))
    named = {name for definition in DEFINITIONS for name in definition.names - {definition.name}}
    named |= {*re.findall(r"_\w+", printers)}
    assert [definition.name for definition in DEFINITIONS if definition.name not in named] == []


def test_words_are_those_of_the_code() -> None:
    code = '''
    """ in_docstring "quoted" """
    first(second.attribute, "in_text \\" still", 'and_here')  # in_comment
    \0marked = third[f"in_formatted"]  # (no helper is called inside one)
    '''
    assert words(code) == {"first", "second", "f", "third"}


def test_what_is_not_used_is_not_imported() -> None:
    assert copies("x = 1").imports == "import torch\nfrom torch import Tensor, nn"
    assert copies("_decoy._is_plain, '_is_plain'").helpers == ""
    copied = copies("_evaluate(math.prod(sizes))")  # (no kernels: a name that only they have is the file's own)
    assert copied.kernel_helpers == copied.helpers == ""
    assert copied.imports.startswith("import math\n\nimport torch")
    assert "import triton" in copies("_jit()", with_kernels=True).imports


def test_decorators_and_texts_behind_constants_are_copied() -> None:
    text = '"""About."""\n\n_N = 3\n"""Three."""\n\n\n@_wrapped(_N)\ndef _helper(x):\n    return x\n\n\n_M = 4\n'
    definitions, imports = read("module", text)
    assert [one.text for one in definitions] == [
        '_N = 3\n"""Three."""',
        "@_wrapped(_N)\ndef _helper(x):\n    return x",
        "_M = 4",
    ]
    assert definitions[1].names == {"_wrapped", "_N", "x"}
    assert imports == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("for x in y:\n    pass\n", "a statement that no copy would have"),
        ("def helper():\n    pass\n", "begins with an underscore"),
        ("_one = _two = 3\n", "has one name"),
        ("_one.attribute = 4\n", "has one name"),
        ("from . import modes\n", "not an import that copies could share"),
        ("import torch as t\n", "not an import that copies could share"),
        ("import torch.nn\n", "not an import that copies could share"),
    ],
)
def test_what_could_not_be_copied_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read("module", text)
