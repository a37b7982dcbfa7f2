"""The script for a GPU keeps its time, whatever its parts do, and its one table says what came of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import card  # noqa: E402


def part(code: str, seconds: float = 30, result: Path | None = None) -> card.Part:
    return card.Part("a part", (sys.executable, "-c", code), seconds, result)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("print('all is well')", "passed"),
        ("raise SystemExit('all is lost')", "failed"),
        ("import os; os.abort()", "failed"),
    ],
)
def test_a_part_that_ends_says_how(tmp_path, code, state):
    outcome = card.run(part(code), 30, tmp_path / "log")
    assert outcome.state == state
    assert outcome.last_line.startswith("all is") or "abort" in code


def test_a_part_that_hangs_is_stopped_and_keeps_what_it_wrote(tmp_path):
    result = tmp_path / "result.json"
    code = f"import time; open({str(result)!r}, 'w').write('{{\"results\": [{{}}]}}'); time.sleep(60)"
    outcome = card.run(part(code, seconds=2, result=result), 30, tmp_path / "log")
    assert outcome.state == "out of time"
    assert outcome.seconds < 20
    assert outcome.results == [{}]


def test_what_the_time_does_not_reach_is_not_begun(tmp_path):
    outcome = card.run(part("open('begun', 'w')"), 1, tmp_path / "log")
    assert outcome.state == "not reached"
    assert not (ROOT / "begun").exists()


def test_every_part_stands_in_the_table(tmp_path):
    ratio = {"peer": "OpenEquivariance", "ours": "fusionc ir_mul", "median": 2.0, "low": 1.5, "high": 2.5}
    row = {
        "name": "fusionc ir_mul",
        "seconds": {"median": 0.001},
        "of_copy_fresh": {"median": 0.5},
        "peak_bytes": 1e6,
    }
    result = {"shape": "mace-large", "mode": "eager", "task": "forward", "contestants": [row], "ratios": [ratio]}
    found = card.Outcome(part(""), "passed", 12.0, "1 passed", [json.loads(json.dumps(result))])
    lines = list(card.table([found, card.Outcome(part(""), "not reached")]))
    assert "passed" in lines[0]
    assert "1 passed" in lines[0]
    assert "not reached" in lines[1]
    assert "OpenEquivariance" in lines[3]
    assert "2 (1.5 to 2.5)" in lines[-1]


def test_the_shapes_are_those_of_the_benchmark(tmp_path):
    from benchmarks.peers.shapes import SHAPES

    assert set(card.SHAPES) <= set(SHAPES)
    limits = [each.seconds for each in card.parts("cuda", card.SHAPES, 1000, 100, 5, tmp_path)]
    assert limits[0] + limits[1] < 450


def test_without_a_gpu_the_script_says_so_and_changes_nothing():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU, and the script would use it")
    script = str(ROOT / "benchmarks" / "on_a_card.sh")
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    run = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert "no GPU" in run.stderr or "not installed" in run.stderr
