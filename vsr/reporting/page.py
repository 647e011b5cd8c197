"""One self-contained HTML page with pictures and a before/after slider."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vsr.reporting.films import Picture
from vsr.video.images import encode_png


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that explains it, and pictures with their captions."""

    title: str
    text: str
    figures: tuple[tuple[str, Picture], ...]


def comparison_page(
    title: str, frames: Sequence[Picture], labels: Sequence[str], sections: Sequence[Section]
) -> str:
    """Return the page: the slider over `frames` first, then the sections; it loads nothing."""
    sources = [_data_uri(frame) for frame in frames]
    body = _slider(sources, labels) + "".join(_section(section) for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _slider(sources: Sequence[str], labels: Sequence[str]) -> str:
    images = "".join(
        f'<img src="{source}" alt="{escape(label)}" hidden>'
        for source, label in zip(sources, labels, strict=True)
    )
    return (
        '<section aria-label="Before and after"><h2>Before and after</h2><div class="choice">'
        f"{_select('before', labels, 0)}{_select('after', labels, 1)}</div>"
        f'<div class="slider">{images}</div>'
        '<label>Divider <input id="divider" type="range" min="0" max="100" value="50" '
        'aria-label="Position of the divider in percent"></label>'
        "<p>Drag the divider, or focus it and use the arrow keys.</p></section>\n"
    )


def _select(name: str, labels: Sequence[str], chosen: int) -> str:
    options = "".join(
        f'<option value="{number}"{" selected" if number == chosen else ""}>'
        f"{escape(label)}</option>"
        for number, label in enumerate(labels)
    )
    return f'<label>{name.title()} <select id="{name}">{options}</select></label>'


def _section(section: Section) -> str:
    figures = "".join(
        f'<figure><img src="{_data_uri(picture)}" alt="{escape(section.title)}: '
        f'{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, picture in section.figures
    )
    return (
        f"<section><h2>{escape(section.title)}</h2><p>{escape(section.text)}</p>"
        f'<div class="grid">{figures}</div></section>\n'
    )


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode_png(picture)).decode()}"


_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b1b1f;--quiet:#55555e;--accent:#0a58ca}
@media(prefers-color-scheme:dark){
:root{--ground:#16161a;--text:#ececf1;--quiet:#a8a8b3;--accent:#7fb2ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:75rem;margin:auto;padding:1rem}
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .25rem}
p,figcaption{color:var(--quiet);margin:.25rem 0;overflow-wrap:anywhere}
img{display:block;max-width:100%;height:auto}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
figure{margin:0;min-width:0}
.choice{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;margin:.5rem 0}
select{font:inherit;max-width:100%}label{display:block;max-width:100%}
.slider{position:relative}.slider img{width:100%}
.slider img.after{position:absolute;inset:0}
.slider img[hidden]{display:none}
input[type=range]{width:100%;height:2.75rem;accent-color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
"""

_SCRIPT = """
const get=name=>document.getElementById(name),images=[...document.querySelectorAll('.slider img')];
function show(){
  const before=+get('before').value,after=+get('after').value;
  images.forEach((image,number)=>{
    image.hidden=number!==before&&number!==after;
    image.className=number===after&&after!==before?'after':'';
    image.style.clipPath=image.className?`inset(0 0 0 ${get('divider').value}%)`:'';
  });
}
for(const name of ['before','after','divider'])get(name).addEventListener('input',show);
show();
"""
