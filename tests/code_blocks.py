"""Code blocks of the pages: found in Markdown, and run as they are written."""

import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from geoequiv.bench.suite import read_suite
from geoequiv.cli import command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: What a fence may call its language, and who looks at the block.
LANGUAGES = ("python", "yaml", "console", "text", "bibtex")

#: Programs of a cluster; tests/cluster runs the lines that call them, where SLURM is installed.
SLURM = ("sinfo", "squeue", "scancel", "eval", "tests/cluster/start_slurm.sh")

#: Completes a YAML block that shows one section of a suite.
SMALLEST_SUITE = {"name": "section", "task": "nbody/charged", "entries": [{"model": "egnn"}]}


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the file that its first line names (``# my_models.py``)."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        first = re.match(r"# ([\w/.-]+\.(?:py|yaml))\n", self.text)
        return first[1] if first else None


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        found.append(Block(match[1], match[2], text[: match.start()].count("\n") + 2))
    return found


def run_page(page: Path) -> dict:
    """Run the python and yaml blocks of a page in the working directory, in order; returns the names they define.

    Python blocks share one namespace, which begins empty. A block whose first line names a file becomes that file.
    """
    names: dict = {"__name__": f"page_{page.stem}"}
    for block in blocks_of(page.read_text()):
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text)
            importlib.invalidate_caches()
        if block.language == "python" and not block.file:
            torch.manual_seed(0)
            padded = "\n" * (block.line - 1) + block.text  # tracebacks name the line of the page
            exec(compile(padded, str(page), "exec"), names)
        elif block.language == "python":
            name = block.file.removesuffix(".py").replace("/", ".")
            sys.modules.pop(name, None)  # of another page or test
            module = importlib.import_module(name)
            assert Path(module.__file__).samefile(block.file)
        elif block.language == "yaml":
            check_suite(block)
    return names


def check_suite(block: Block) -> None:
    """Read a suite as ``geoequiv run`` does; a section of one (``train: …``) is read in the smallest suite."""
    content = yaml.safe_load(block.text)
    path = Path(block.file or "section.yaml")
    if "entries" not in content:
        sections = SMALLEST_SUITE | content
        path.write_text(yaml.safe_dump(sections, allow_unicode=True))
    else:
        path.write_text(block.text)
    assert read_suite(path).runs


def command_lines(text: str) -> Iterator[list[str]]:
    """The command lines of a console block as words, without comments; a backslash joins lines."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words:
            yield words


def exit_code(function: Callable[[], object]) -> object:
    """The exit status of a function that may call `sys.exit`; what it returns, if that is a status; else 0."""
    try:
        returned = function()
    except SystemExit as stop:
        return stop.code
    return returned if isinstance(returned, int) else 0


def check_command(words: list[str]) -> None:
    """A line's command exists and takes its arguments.

    Raises:
        AssertionError: with the line, if not.
    """
    line = " ".join(words)
    program, *arguments = words
    if program == "geoequiv":
        assert exit_code(lambda: command.make_parser().parse_args(arguments)) == 0, line
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {each for each in arguments if "=" not in each} <= set(targets), line
    elif program in ("python", ".venv/bin/python") and arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file(), line
    elif program not in SLURM:
        assert program in ("pip", "python", ".venv/bin/python", "pre-commit", "mkdocs", "git", "cd"), line
    for each in arguments:
        if re.match(r"(configs|benchmarks|docs|tests)/[\w./-]+$", each):
            assert (ROOT / each).exists(), f"{line}: there is no {each}"
