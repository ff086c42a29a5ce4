"""Every page's blocks run: Python as it stands, shell commands, and terminals, whose output must be what the page shows.

The blocks of a page run in order, in one folder that holds the example models. `make` targets must exist; what installs is left alone.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SHELL = ("sh", "bash", "shell")
NEEDS = {"file_types.md": (".models", "README.md", "LICENSE", "Makefile", "pyproject.toml", "graphir")}  # of the repository, beyond models/
INSTALLS = ("pip ", "python -m pip ", "python3 -m venv ", "git ", "cd ", ". .venv/")


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """The fenced blocks of a page: language, text, line."""
    text = page.read_text()
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield match[1], match[2], text[: match.start()].count("\n") + 2


def run_shell(command: str) -> str:
    """What a command prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def run_commands(text: str) -> None:
    """Shell commands, one a line."""
    for line in text.replace("\\\n", " ").splitlines():
        command = line.partition(" #")[0].strip()
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text(), f"there is no `{command}`"
        elif command and not command.startswith(INSTALLS):
            run_shell(command)


def check_terminal(text: str) -> None:
    """Commands after `$`, each with what it prints below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        if not command.startswith("make "):
            assert run_shell(command).split("\n") == shown.rstrip("\n").split("\n") + [""] * bool(shown.strip()), command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page(page, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDS.get(page.name, ()):
        if not (ROOT / name).exists():
            pytest.skip(f"it needs {name}, which make test-models fetches")
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for language, text, line in blocks(page):
        if language == "python":
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
        elif language in SHELL:
            run_commands(text)
        elif language == "console":
            check_terminal(text)


def test_blocks_are_found():
    """The pages that every reader meets have blocks that run."""
    assert {"python", "console"} <= {language for language, _, _ in blocks(ROOT / "README.md")}
    assert "python" in {language for language, _, _ in blocks(ROOT / "CONTRIBUTING.md")}
    assert all(language for page in PAGES for language, _, _ in blocks(page)), "a block without a language does not say whether it runs"


def test_links_lead_somewhere():
    """Links to files of the repository."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
