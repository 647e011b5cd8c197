const drop = element.querySelector('.vsr-drop'), input = drop.querySelector('input');
const bar = drop.querySelector('progress'), words = drop.querySelector('.vsr-words');
const fault = drop.querySelector('[role=alert]'), most = +drop.dataset.most;
let busy = false;

function send(file) {
  return new Promise(resolve => {
    const request = new XMLHttpRequest();
    request.open('PUT', '/films?name=' + encodeURIComponent(file.name));
    request.upload.onprogress = event => {
      bar.value = 100 * event.loaded / event.total;
      words.textContent = event.loaded < event.total
        ? `${file.name}: ${Math.floor(bar.value)} % is here` : `${file.name}: looking at it`;
    };
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { answer = {error: request.responseText}; }
      resolve(answer);
    };
    request.onerror = () => resolve({error: 'the upload was broken off; the page or the disk may be full'});
    request.send(file);
  });
}

async function take(files) {
  if (busy) return;
  busy = true;
  fault.textContent = '';
  for (const file of files) {
    bar.hidden = words.hidden = false;
    bar.value = 0;
    const answer = most && file.size > most
      ? {error: 'the file is larger than this page takes; vsr ui --max-upload sets another limit'} : await send(file);
    const named = answer.error && answer.error.includes(file.name) ? '' : `${file.name}: `;
    if (answer.error) fault.textContent += `${named}${answer.error}. `;
    else trigger('upload', {film: answer.film});
  }
  bar.hidden = words.hidden = true;
  input.value = '';
  busy = false;
}

input.addEventListener('change', () => take([...input.files]));
drop.querySelector('[data-act=sample]').addEventListener('click', () => trigger('click', {}));
for (const name of ['dragenter', 'dragover']) drop.addEventListener(name, event => {
  event.preventDefault();
  drop.classList.add('vsr-over');
});
for (const name of ['dragleave', 'drop']) drop.addEventListener(name, event => {
  event.preventDefault();
  if (name === 'drop' || !drop.contains(event.relatedTarget)) drop.classList.remove('vsr-over');
});
drop.addEventListener('drop', event => take([...event.dataTransfer.files]));
