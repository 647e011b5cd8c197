"""Imports go down only, and packages stay in the rooms that they belong to."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path for room in ("vsr", "tools", "data_prep") for path in (ROOT / room).rglob("*.py")
)

# Each level imports from those before it; what stands beside each other does not know each other.
ROOMS = (
    ("errors", "__version__"),
    ("option_values",),
    ("config",),
    ("runtime",),
    ("ops", "video"),
    ("degradation",),
    ("models",),
    ("propagation",),
    ("restoration", "pipelines"),
    ("checkpoints",),
    ("upscaling",),
    ("reporting",),
    ("jobs", "training"),
    ("evaluation",),
    ("ui",),
    ("cli",),
    ("__main__",),
    ("tools", "data_prep"),
)
# The same inside a room, for its files and sub-rooms; "" are all files that are not named.
INSIDE = {
    "video": (("",), ("reading", "writing"), ("recompress",)),
    "jobs": (("resume",), ("",), ("planning",)),
    "training": (
        ("data",),
        ("losses",),
        ("recipe_config",),
        ("config",),
        ("config_file",),
        ("engine",),
        ("recipes",),
        ("",),
        ("preparation",),
    ),
}

HOMES = {
    "av": ("vsr/video/",),
    "accelerate": ("vsr/training/", "vsr/runtime/"),
    "decord": ("vsr/training/",),
    "ffmpeg": ("data_prep/",),
    "gradio": ("vsr/ui/",),
    "pyarrow": ("vsr/training/data/",),
    "ray": ("vsr/runtime/executor_ray.py",),
    "shtab": ("vsr/cli/completion.py",),
    "spandrel": ("vsr/models/image.py",),
    "starlette": ("vsr/ui/",),
    "torchvision": ("vsr/models/", "vsr/evaluation/"),
    "uvicorn": ("vsr/ui/",),
    "xformers": ("vsr/ops/attention.py",),
}


def imported(path: Path) -> set[str]:
    """The dotted names of everything that the file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def depth(levels: tuple[tuple[str, ...], ...], name: str) -> int:
    return next(number for number, names in enumerate(levels) if name in names)


def place(module: str) -> tuple[str, str]:
    """Room and sub-room of `vsr.room.part...`, or of a script; "" for what INSIDE does not name."""
    first, *rest = module.removeprefix("vsr.").split(".")
    named = {name for names in INSIDE.get(first, ()) for name in names}
    return first, rest[0] if rest and rest[0] in named else ""


def may_import(here: tuple[str, str], there: tuple[str, str]) -> bool:
    (room, part), (other, other_part) = here, there
    if room != other:
        return depth(ROOMS, other) < depth(ROOMS, room)
    levels = INSIDE.get(room, (("",),))
    return part == other_part or depth(levels, other_part) < depth(levels, part)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down_only(path: Path) -> None:
    here = place(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here[0] == "__init__":
        pytest.skip("the lazy public names come from everywhere")
    modules = {module for module in imported(path) if module.startswith("vsr.")}
    wrong = {module for module in modules if not may_import(here, place(module))}
    assert not wrong, f"{name(path)} imports from above or beside itself"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_packages_stay_in_their_rooms(path: Path) -> None:
    packages = {module.split(".")[0] for module in imported(path)}
    for package, homes in HOMES.items():
        assert package not in packages or name(path).startswith(homes), package


def loaded_after(code: str) -> set[str]:
    """The top-level modules that are loaded after `code`, in a process of its own."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_vsr_is_free() -> None:
    assert not loaded_after("import vsr") & {"torch", "numpy", "av", "jsonargparse", "rich"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["upscale", "--help"], ["plan", "--help"], ["ui", "--help"], ["--version"]],
)
def test_help_loads_no_torch(arguments: list[str]) -> None:
    loaded = loaded_after(f"from vsr.cli import main\nmain({arguments!r})")
    assert not loaded & {"torch", "numpy", "av", "diffusers", "ray"}


def test_a_plan_that_fails_early_loads_no_torch() -> None:
    loaded = loaded_after('from vsr.cli import main\nmain(["plan", "missing.mp4"])')
    assert "torch" not in loaded


def test_every_public_name_loads() -> None:
    import vsr

    assert all(getattr(vsr, public) is not None for public in vsr.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import vsr

    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        vsr.Nonsense  # noqa: B018
