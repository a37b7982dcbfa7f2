"""Exact mathematics of fusion, in the order of the theory; it knows no diagram.

integers, surds, tensors      exact numbers and sparse tensors of them
wigner                        3j, 6j and 9j symbols
elements, basis               group elements; the only home of conventions
irreps, groups                irreps and groups as values
laws                          what every group has to obey
characters, modular           multiplicities by counting; exact numbers modulo a prime
"""
