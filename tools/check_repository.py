"""No file of the repository names a package registry, a path of somebody's machine, or a key.

python tools/check_repository.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Written in pieces, so that this file does not contain what it looks for.
FORBIDDEN = {
    "a package registry": re.compile(
        "|".join(("pypi" r"\.org", "python" r"hosted\.org", "npm" r"js\.org", "repo1?" r"\.maven"))
    ),
    "a path of a machine": re.compile(
        r"(?<![\w.$}])/(?:" + "|".join(("work", "root", r"home/[a-z]\w*", r"Users/\w+")) + r")/"
    ),
    "a private key": re.compile("-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}


def files() -> list[Path]:
    """What is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def problems(path: Path, text: str) -> list[str]:
    """The forbidden things in a text, a sentence each."""
    return [
        f"{path}:{at}: names {what}"
        for at, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    found = []
    for path in files():
        try:
            found += problems(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # binary data, or a deleted file that git still lists
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
