"""Repairs of random mistakes: each of them made, and what is left of the mistakes looked at.

    python tests/campaigns/repairs.py --count 500
    python tests/campaigns/repairs.py --seed 4711 --count 1      one case again

The last line says `N passed, M failed`, and the exit code is 1 where one failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def main() -> int:
    from repair_cases import Broken, check_repairs, draw, meaning, read

    from fusionc.language.source import Source

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="how many texts (500)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one (0); the others follow")
    options = parser.parse_args()
    passed = failed = made = 0
    for seed in range(options.seed, options.seed + options.count):
        text, slipped, is_reversible = draw(seed)
        meant = meaning(read(Source("sound.fus", text))[0]) if is_reversible else None
        try:
            made += check_repairs(Source("slipped.fus", slipped), None, meant)
            passed += 1
        except Broken as error:
            failed += 1
            print(f"seed {seed}\n{error}\n", flush=True)
    print(f"{made} repairs made", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
