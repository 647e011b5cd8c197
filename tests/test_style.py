"""The parts of the house style that a machine can check: docstrings, lengths, print, paths."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "vsr").rglob("*.py"))

MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60

# A docstring says what its object does or returns: it does not open as a question would.
OPENERS = ("what", "whether", "which", "who", "whose", "where", "when", "how")

# The command line, and the frame of the scripts in data_prep/.
MAY_PRINT = ("vsr/cli/", "vsr/training/preparation/command.py")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a file, its attributes' ones too: a string that stands for itself."""
    for node in nodes(path):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text
            case _:
                pass


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_docstring_opens_as_a_question_does(path: Path) -> None:
    first = [re.split(r"\W", text.strip(), maxsplit=1)[0].lower() for text in docstrings(path)]
    assert not [word for word in first if word in OPENERS]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_fit_a_screen(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    functions = [n for n in nodes(path) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions}
    assert not {key: lines for key, lines in lengths.items() if lines > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_command_line_prints(path: Path) -> None:
    if name(path).startswith(MAY_PRINT):
        pytest.skip("it may print")
    calls = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_no_path_of_a_machine_is_in_a_tracked_file() -> None:
    """Text that names a folder of somebody's machine helps nobody else."""
    machine = re.compile(r"(?<![\w.~])/(?:home|root|work|opt|Users|workspace|mnt)/[\w.]")
    listed = subprocess.run(
        ["git", "grep", "--name-only", "-I", "-e", ""], cwd=ROOT, capture_output=True, text=True
    )
    files = [ROOT / line for line in listed.stdout.splitlines()]
    assert files, "git lists no file"
    assert not [name(path) for path in files if machine.search(path.read_text())]
