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

# A module imports from layers before its own and from its own.
LAYERS = (
    ("errors", "memory", "timing"),
    ("config", "segments", "presets"),
    ("ops", "video"),
    ("models", "propagation", "degradation", "restoration"),
    ("sampling", "prediction", "clip"),
    ("pipeline", "image_pipeline"),
    ("loading",),
    ("jobs", "training", "evaluation"),
    ("cli", "ui", "stream", "__main__"),
    ("tools", "data_prep"),
)
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}

HOMES = {
    "av": ("vsr/video/",),
    "accelerate": ("vsr/training/", "vsr/jobs/"),
    "decord": ("vsr/training/",),
    "ffmpeg": ("data_prep/",),
    "gradio": ("vsr/ui/",),
    "pyarrow": ("vsr/training/manifest.py",),
    "torchvision": ("vsr/models/", "vsr/evaluation/"),
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


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "vsr" else parts[0]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down_only(path: Path) -> None:
    if room(path) == "__init__":
        pytest.skip("the lazy public names come from everywhere")
    rooms = {module.split(".")[1] for module in imported(path) if module.startswith("vsr.")}
    higher = {found for found in rooms if DEPTH.get(found, 0) > DEPTH[room(path)]}
    assert not higher, f"{name(path)} imports from above itself"


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
    "arguments", [["--help"], ["upscale", "--help"], ["plan", "--help"], ["--version"]]
)
def test_help_loads_no_torch(arguments: list[str]) -> None:
    loaded = loaded_after(f"from vsr.cli import main\nmain({arguments!r})")
    assert not loaded & {"torch", "numpy", "av", "diffusers"}


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
