"""Names in generated code."""

from __future__ import annotations

import torch

from fusionc.targets.names import MODULE_NAMES, Namer, class_name


def test_every_attribute_of_a_module_is_refused_as_a_weight():
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public <= MODULE_NAMES


def test_class_names():
    names = {"three_body": "ThreeBody", "Y3": "Y3", "x": "X", "_a_b": "AB", "messagePassing": "MessagePassing"}
    assert {name: class_name(name) for name in names} == names


def test_fresh_names_never_repeat():
    namer = Namer(["x", "t0"])
    names = [namer.fresh(wish) for wish in ("x", "x", "t0", "for", "1o", "a b", "torch", "x_2")]
    assert len(set(names)) == len(names)
    assert not {"x", "t0", "for", "torch"} & set(names)
    assert all(name.isidentifier() for name in names)
