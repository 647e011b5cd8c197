"""Write the tables of the README and the docs anew, from the results in docs/benchmark.

    python tools/benchmark_tables.py

The results are those of `vsr benchmark` (`results.json`), under the name of their set.
"""

from pathlib import Path

from vsr.evaluation.benchmark.tables import filled
from vsr.runtime.files import write_atomically

ROOT = Path(__file__).parent.parent


def main() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        wanted = filled(text, ROOT / "docs" / "benchmark")
        if wanted != text:
            write_atomically(page, wanted.encode())
            print(f"{page.relative_to(ROOT)} is written anew")


if __name__ == "__main__":
    main()
