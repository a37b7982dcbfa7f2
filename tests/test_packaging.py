"""The wheel carries everything it needs, and works where the checkout is not."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_works_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = wheels.glob("fusionc-*.whl")
    check_metadata(wheel)
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


def check_metadata(wheel: Path) -> None:
    """What an index shows: a description that points at nothing it does not have, and nothing that was not tried."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(file.read(name))
    text = metadata.get_payload(decode=True).decode()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# fusionc\n")
    assert "pip install" in text[:1000]
    assert "<!--" not in text
    assert "*The diagram three_body: legs x, a and b above" in text  # a picture's words
    assert "\nThose who come from e3nn or einsum begin with docs/from_e3nn.md: a table" in text
    outside_code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert [target for target in re.findall(r"\]\(([^)]+)\)", outside_code) if not target.startswith("https://")] == []


def test_the_pythons_that_are_named_were_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one.rsplit(" ", 1)[1] for one in project["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]
    assert named == ["3.11"]
    assert project["requires-python"] == f">={named[0]}"
