"""Exact values of closed spin networks of SU(2), by rewriting them until nothing is left (Yutsis' reduction).

    network (frozen) --reduce--> formula (sum of products of 6j symbols) --evaluate--> exact number

network    what is evaluated           diagram   what is rewritten: labels for spins
sketch     a diagram inside a rewrite  factors   what a rewrite puts in front
zero_edge, tadpole, bubble, triangle, square, flip, cut     the laws, one a file
skeleton, search    the shape alone, and where on it sums are introduced
reduce, formula, notation, ranges      the formula and how it is written
evaluate, tables, tetrahedron, schedule, eliminate    its value, summed in integers, and in which order
builder    networks put together from 3j or Clebsch-Gordan vertices
recouple   coupling trees of one shape as sums of those of another
"""

from fusionc.rewrite.builder import End, NetworkBuilder
from fusionc.rewrite.evaluate import evaluate, value_of
from fusionc.rewrite.formula import Formula
from fusionc.rewrite.network import Circle, Edge, SpinNetwork
from fusionc.rewrite.reduce import formula

__all__ = ["Circle", "Edge", "End", "Formula", "NetworkBuilder", "SpinNetwork", "evaluate", "formula", "value_of"]
