"""The agreement with other implementations, as the docs promise it."""

from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "evaluation.md"


def wrong_by(figure: str, implementation: str) -> float:
    """The most by which a figure may differ from that of another implementation."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    (found,) = {
        float(row[2])
        for row in rows
        if f"`{figure}`" in row[0].split(", ") and row[1].startswith(implementation)
    }
    return found
