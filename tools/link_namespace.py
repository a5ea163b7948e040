"""Make `.namespace/lit_attr/`, a folder of links in which mypy finds the library as one package.

`callbacks/` and `datamodules/` lie at the top of the repository but are imported as `lit_attr.callbacks` and
`lit_attr.datamodules`; a type checker does not read setuptools' mapping. Run it again when a top-level entry is added.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINKS = ROOT / ".namespace" / "lit_attr"


def main() -> None:
    """Rebuild the links."""
    shutil.rmtree(LINKS.parent, ignore_errors=True)
    LINKS.mkdir(parents=True)
    entries = [p for p in (ROOT / "lit_attr").iterdir() if p.name != "__pycache__"]
    for entry in [*entries, ROOT / "callbacks", ROOT / "datamodules"]:
        (LINKS / entry.name).symlink_to(entry)


if __name__ == "__main__":
    main()
