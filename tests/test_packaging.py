"""The wheel carries everything it needs, and works where the checkout is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_works_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = wheels.glob("fusionc-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import fusionc\n"
        f"assert fusionc.__file__.startswith({str(site)!r}), fusionc.__file__\n"
        "from fusionc.cli import main\n"
        "from fusionc.resources import resource\n"
        f"assert all(str(resource(kind)).startswith({str(site)!r}) for kind in ('grammar', 'templates', 'examples'))\n"
        "text = fusionc.parse('diagram d(x: 1o, y: 1o) -> 2e { x y -> out }').emit()\n"
        "assert 'class D(nn.Module)' in text\n"
        "raise SystemExit(main(['explain', 'F2001']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
