"""What a generated module is made from: the diagram by itself, a target, and options.

request  <-- name -->  `fusionc.generated.three_body_<the rest, packed>`
         --- key -->   the name of its entry in the cache: what fusionc is installed counts there too
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from fusionc.resources import resource
from fusionc.targets.registry import Options
from fusionc.version import __version__

PREFIX = "fusionc.generated."
_OPENING = re.compile(r"^diagram (\w+)\(", re.MULTILINE)
_DEFAULTS = asdict(Options())


@dataclass(frozen=True)
class Request:
    """`text` is a file with one diagram, in canonical form, and nothing that the diagram has no need of."""

    text: str
    target: str
    options: Options

    @property
    def diagram(self) -> str:
        """The diagram's name."""
        opening = _OPENING.search(self.text)
        assert opening is not None
        return opening[1]

    @property
    def name(self) -> str:
        """The name of the module, from which `from_name` reads the request again: an identifier in ASCII, as old pickle
        protocols and compilers want it."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(self._whole.encode()) + packer.flush()
        return f"{PREFIX}{self.diagram}_{base64.b32encode(packed).decode().rstrip('=').lower()}"

    @property
    def key(self) -> str:
        """The same for the same request to the same fusionc, and for no other."""
        return hashlib.sha256(f"{__version__} {sources_digest()}\n{self._whole}".encode()).hexdigest()

    @property
    def _whole(self) -> str:
        chosen = [f"{name}={value}" for name, value in asdict(self.options).items() if value != _DEFAULTS[name]]
        return " ".join([self.target, *chosen]) + f"\n{self.text}"


def from_name(name: str) -> Request | None:
    """The request that a module's name holds, None where it holds none. Raises ImportError where this version of
    fusionc does not know its options."""
    packed = name.rpartition("_")[2].upper()
    try:
        data = base64.b32decode(packed + "=" * (-len(packed) % 8))
        unpacker = zlib.decompressobj(-15)
        whole = (unpacker.decompress(data) + unpacker.flush()).decode()
    except (binascii.Error, zlib.error, UnicodeError):
        return None
    head, _, text = whole.partition("\n")
    target, *chosen = head.split(" ")
    opening = _OPENING.search(text)
    if opening is None or not name.startswith(f"{PREFIX}{opening[1]}_"):
        return None
    values = dict(option.split("=", 1) for option in chosen)
    try:
        return Request(text, target, Options(**values))  # type: ignore[arg-type]  # (Options checks them)
    except (TypeError, ValueError) as error:
        message = f"the saved module `{opening[1]}` has options that fusionc {__version__} does not know: {error}"
        raise ImportError(message) from error


@cache
def sources_digest() -> str:
    """A digest of fusionc itself, what a version that is worked on changes included. Raises OSError where it does not
    lie in files."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parent.parent
    for folder, pattern in ((package, "*.py"), (resource("grammar"), "*.lark"), (resource("templates"), "*.jinja")):
        files = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if not files:
            raise FileNotFoundError(f"{folder} holds no {pattern}")
        for path in files:
            data = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(data)}\n".encode() + data)
    return digest.hexdigest()
