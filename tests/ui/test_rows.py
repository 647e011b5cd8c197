"""The rows of the page: text of other people's files cannot become HTML."""

from html.parser import HTMLParser

import pytest

from vsr.ui.films import Film, State
from vsr.ui.rows import film_rows, model_facts, progress_bar, result
from vsr.ui.tasks import Progress

EVIL = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
ID = "0123456789abcdef"


class Parser(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = dict(attrs)
        assert "onerror" not in names
        self.acts += [names["data-act"] or ""] if "data-act" in names else []


def film(state: State = "done", **more: object) -> Film:
    return Film(ID, EVIL, facts=EVIL, state=state, task="film", line=EVIL, notes=(EVIL,), **more)  # type: ignore[arg-type]


def test_names_lines_notes_and_plans_are_text() -> None:
    one = film(plan=f"source  {EVIL}", preview="p.html", output="o", report="r")
    running = Progress(ID, "film", 0.5, EVIL)
    model = dict.fromkeys(("use", "licence", "speed", "memory"), EVIL)
    html = film_rows([one], ID) + progress_bar(running, [one]) + result(one) + model_facts(model)
    assert not {"script", "img"} & set(Parser(html).tags)


@pytest.mark.parametrize(
    ("state", "acts"),
    [
        ("added", ["preview", "plan", "film", "remove"]),
        ("waiting", ["cancel", "remove"]),
        ("running", ["cancel", "remove"]),
        ("stopped", ["resume", "preview", "plan", "film", "remove"]),
        ("failed", ["resume", "preview", "plan", "film", "remove"]),
        ("done", ["preview", "plan", "film", "remove"]),
    ],
)
def test_a_film_has_the_buttons_of_its_state(state: State, acts: list[str]) -> None:
    assert Parser(film_rows([film(state)], "")).acts == acts


def test_the_newest_film_comes_first() -> None:
    films = [Film("a" * 16, "first.mp4"), Film("b" * 16, "second.mp4")]
    html = film_rows(films, "")
    assert html.index("second.mp4") < html.index("first.mp4")
