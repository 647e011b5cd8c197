const viewer = document.querySelector('.viewer'), stage = viewer.querySelector('.stage');
const panes = [...viewer.querySelectorAll('.pane')], scrolls = panes.map(p => p.firstElementChild);
const handle = viewer.querySelector('.handle'), stretch = +viewer.dataset.stretch;
const moments = [...viewer.querySelectorAll('.moments button')];
const get = name => document.getElementById(name);
const chosen = name => viewer.querySelector(`input[name=${name}]:checked`).value;
const choose = (name, value) => {
  viewer.querySelector(`input[name=${name}][value="${value}"]`).checked = true;
  show();
};
let flipped = false;

function show() {
  const view = chosen('view'), before = +get('before').value, after = +get('after').value;
  const grid = view === 'grid', at = get('divider').value;
  stage.dataset.view = view;
  stage.dataset.zoom = chosen('zoom');
  panes.forEach((pane, film) => {
    const top = film === after && after !== before;
    pane.hidden = !grid && film !== before && film !== after;
    if (view === 'flip') pane.hidden = film !== (flipped ? after : before);
    if (view === 'difference' && before === after) pane.hidden = true;
    pane.classList.toggle('after', top && !grid);
    pane.style.clipPath = view === 'slider' && top ? `inset(0 0 0 ${at}%)` : '';
  });
  handle.style.left = at + '%';
  handle.hidden = view !== 'slider' || before === after;
  get('divider').hidden = handle.hidden;
  zoom();
}

function zoom() {
  const level = chosen('zoom');
  for (const image of viewer.querySelectorAll('.pane img')) {
    const real = level === 'fit' ? 0 : +level / (window.devicePixelRatio || 1);
    image.style.width = real ? image.naturalWidth * real * Math.max(1, stretch) + 'px' : '';
    image.style.height = real ? image.naturalHeight * real * Math.max(1, 1 / stretch) + 'px' : '';
  }
}

function goTo(moment) {
  moments.forEach((button, number) => button.setAttribute('aria-pressed', number === moment));
  for (const scroll of scrolls)
    [...scroll.children].forEach((image, number) => { image.hidden = number !== moment; });
}

function swap() {
  const left = get('before').value;
  get('before').value = get('after').value;
  get('after').value = left;
  show();
}

function move(percent) {
  get('divider').value = Math.min(100, Math.max(0, percent));
  show();
}

for (const input of viewer.querySelectorAll('input,select')) input.addEventListener('input', show);
get('swap').addEventListener('click', swap);
moments.forEach((button, number) => button.addEventListener('click', () => goTo(number)));

// All films scroll together.
let leading = null;
for (const scroll of scrolls) {
  scroll.addEventListener('scroll', () => {
    if (leading && leading !== scroll) return;
    leading = scroll;
    for (const other of scrolls) {
      if (other === scroll) continue;
      other.scrollLeft = scroll.scrollLeft;
      other.scrollTop = scroll.scrollTop;
    }
    requestAnimationFrame(() => { leading = null; });
  });
}

// A drag moves the divider, or the picture where it is zoomed.
let drag = null;
stage.addEventListener('pointerdown', event => {
  if (event.button) return;
  const view = chosen('view'), onHandle = handle.contains(event.target);
  if (view === 'flip' && chosen('zoom') === 'fit') { flipped = !flipped; show(); return; }
  if (view === 'slider' && (onHandle || chosen('zoom') === 'fit')) drag = 'divider';
  else if (event.pointerType === 'mouse') drag = 'picture';
  else return;
  stage.setPointerCapture(event.pointerId);
  stage.focus({preventScroll: true});
  if (drag === 'divider') follow(event);
  event.preventDefault();
});
function follow(event) {
  const box = stage.getBoundingClientRect();
  move((event.clientX - box.left) / box.width * 100);
}
stage.addEventListener('pointermove', event => {
  if (drag === 'divider') follow(event);
  const scroll = (panes.find(pane => !pane.hidden) || panes[0]).firstElementChild;
  if (drag === 'picture') scroll.scrollBy(-event.movementX, -event.movementY);
});
for (const end of ['pointerup', 'pointercancel']) stage.addEventListener(end, () => { drag = null; });

for (const button of document.querySelectorAll('[data-box]')) {
  button.addEventListener('click', () => {
    const [x, y, moment] = button.dataset.box.split(',').map(Number);
    if (moments.length) goTo(moment);
    choose('zoom', '2');
    viewer.scrollIntoView({block: 'start'});
    const image = panes.find(pane => !pane.hidden).querySelector('img:not([hidden])');
    const scroll = image.parentElement;
    scroll.scrollLeft = x * image.offsetWidth - scroll.clientWidth / 2;
    scroll.scrollTop = y * image.offsetHeight - scroll.clientHeight / 2;
    stage.focus({preventScroll: true});
  });
}

const letters = {s: 'slider', f: 'flip', g: 'grid', d: 'difference'}, levels = ['fit', '1', '2', '4'];
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches('input,select')) return;
  const key = event.key.toLowerCase(), digit = /^Digit([1-8])$/.exec(event.code);
  const moment = moments.findIndex(button => button.getAttribute('aria-pressed') === 'true');
  const onControl = event.target.matches('button,summary,.wide');
  if (key === 'arrowleft' || key === 'arrowright') {
    if (chosen('view') !== 'slider' || onControl) return;
    move(+get('divider').value + (key === 'arrowleft' ? -2 : 2));
  } else if (key === ' ' && !onControl) {
    if (chosen('view') === 'flip') { flipped = !flipped; show(); } else swap();
  } else if (digit && digit[1] <= panes.length) {
    get(event.shiftKey ? 'before' : 'after').value = digit[1] - 1;
    show();
  } else if (letters[key]) choose('view', letters[key]);
  else if (key === 'z') choose('zoom', levels[(levels.indexOf(chosen('zoom')) + 1) % 4]);
  else if (key === 'n' && moments.length) goTo((moment + 1) % moments.length);
  else if (key === 'p' && moments.length) goTo((moment + moments.length - 1) % moments.length);
  else return;
  event.preventDefault();
});
window.addEventListener('resize', zoom);
window.addEventListener('load', show);
show();
