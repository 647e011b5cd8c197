"""The documentation site builds without a warning, and loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(site.rglob("index.html"))
    sources = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "index.md"]
    assert len(pages) == len(sources) + 1
    loaded = re.compile(r'<(?:script|img|link rel="(?:stylesheet|preload|preconnect)")[^>]*https?:')
    assert not [page for page in pages if loaded.search(page.read_text())]
    changelog = (site / "changelog" / "index.html").read_text()
    assert "0.1.0 (unreleased)" in changelog
