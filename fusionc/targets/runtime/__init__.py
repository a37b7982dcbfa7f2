"""What generated files call besides their own arithmetic: checks, modes, stages, operators, large operations.

The modules are plain Python. A generated file imports none of them: `targets/inline.py` copies the definitions that it
uses, as they are written, and names its operators' namespace instead of `NAMESPACE`. Therefore

- a module holds functions, classes, constants, and nothing that has to run besides;
- names begin with an underscore, are the same everywhere, and no two modules have the same one;
- modules import each other, Python's own library, torch, and triton where it is installed.
"""
