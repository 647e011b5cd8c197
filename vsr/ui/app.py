"""The application of the page: the layout of gradio, and the routes for files beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from starlette.applications import Starlette

from vsr.ui.films import FilmStore
from vsr.ui.page import STYLE, THEME, Page, build
from vsr.ui.routes import routes
from vsr.ui.tasks import TaskQueue


def page_app(
    store: FilmStore, queue: TaskQueue, models: Sequence[Mapping[str, Any]], *, most_bytes: int
) -> Starlette:
    """Return the application; gradio itself takes no file and tells nobody of its use."""
    blocks = build(Page(store, queue, models), most_bytes=most_bytes)
    app = Starlette(routes=routes(store, most_bytes=most_bytes))
    gr.mount_gradio_app(
        app,  # pyright: ignore[reportArgumentType]
        blocks,
        path="/",
        theme=THEME,
        css=STYLE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        max_file_size=1,
    )
    return app
