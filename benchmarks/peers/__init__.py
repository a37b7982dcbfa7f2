"""fusionc against other libraries for equivariant products, side by side on the shapes that they publish.

`python -m benchmarks.peers` in the repository's root; `benchmarks/README.md` says what is measured and how. One idea a
file: `shapes` (what is computed), `cases` (on which numbers), one `…_side` for each library, `contestant` (what a side
gives to the harness), `tasks` (what is timed), `measure` (how), `limits` (what the machine allows), `harness` (the
order of it all), `report` and `plot`.
"""
