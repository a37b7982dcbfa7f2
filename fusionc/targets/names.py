"""Names in generated Python: which the language's names may keep, and fresh ones for local values."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from fusionc.language.diagnostics import Diagnostic, Repair, diagnose
from fusionc.language.lexer import renamed
from fusionc.language.source import Span
from fusionc.targets.inline import defined_names

# What the generated file defines and uses at its top level.
FILE_NAMES = frozenset(
    "torch nn Tensor NamedTuple annotations bool dict float int isinstance len list reversed super tuple type zip "
    "any all enumerate range str object ValueError TypeError IndexError ImportError OSError staticmethod "
    "triton tl contextlib functools math partial Callable Sequence KERNELS min max iter next hasattr slice Any "
    "getattr WeakTensorKeyDictionary sum map Iterator "
    "RuntimeError".split()
)
# Attributes of torch.nn.Module, which a learned weight would shadow.
MODULE_NAMES = frozenset(
    "T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double "
    "dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu "
    "load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters "
    "register_backward_hook register_buffer register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook "
    "register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to "
    "to_empty train training type xpu zero_grad".split()
)


def class_name(name: str) -> str:
    """`three_body` -> `ThreeBody`; capitals inside a word stay."""
    words = [word for word in name.split("_") if word]
    camel = "".join(word[0].upper() + word[1:] for word in words)
    return camel if camel and not camel[0].isdigit() else f"Diagram{camel}"


def unusable(name: str) -> str | None:
    """Why a diagram cannot have a name in Python, or None. (What the file calls so itself gets another name there.)"""
    return _keyword(name)


def unusable_argument(name: str) -> str | None:
    """Why a leg or an output cannot have a name, or None."""
    return _keyword(name)


def unusable_keyword(name: str) -> str | None:
    """Why what is given by keyword cannot have a name, or None."""
    if name == "self":
        return "a module is called by `self` itself"
    return _keyword(name)


def unusable_output(name: str) -> str | None:
    """Why one of several outputs cannot have a name, or None."""
    if name.startswith("_"):
        return "the outputs are a named tuple, whose names begin with a letter"
    return unusable_argument(name)


def unusable_weight(name: str) -> str | None:
    """Why a learned weight cannot have a name, or None."""
    if name in MODULE_NAMES or name.startswith("_"):
        return "it is an attribute of every torch.nn.Module"
    return unusable_argument(name)


def _keyword(name: str) -> str | None:
    return "it is a keyword of Python" if keyword.iskeyword(name) else None


def name_diagnostic(what: str, name: str, reason: str, span: Span) -> Diagnostic:
    """F4008."""
    return diagnose(
        "F4008",
        f"{what} cannot be called `{name}` in a torch module",
        span,
        notes=[reason],
        help=f"rename it, for example `{name.strip('_')}_0`",
        repairs=[_renaming(span, f"{name.strip('_')}_0")] if span.text == name else (),
    )


def _renaming(span: Span, name: str) -> Repair:
    """Another name wherever the word stands."""
    name = span.source.unused(name)
    return Repair(renamed(span, name).edits, f"`{span.text}` is called `{name}`")


class Namer:
    """Hands out names of local values; none twice, none that is taken."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*taken, *FILE_NAMES, *defined_names(), "self", *keyword.kwlist}
        self._next: dict[str, int] = {}

    def take(self, *names: str) -> None:
        """Names that are used up."""
        self._taken.update(names)

    def fresh(self, wish: str) -> str:
        """The wished name, or the wished name with a number behind it."""
        base = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in wish)
        base = base if base and not base[0].isdigit() else f"v_{base}"
        name, number = base, self._next.get(base, 2)
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._next[base] = number
        self._taken.add(name)
        return name
