import { setText } from './parts/dom.js';

/** A page for an error: tries its address again, and goes there once it answers otherwise. */
const { status = '', retryMs = '10000' } = document.body.dataset;
const note = document.getElementById('retry');

window.setTimeout(() => void tryAgain(), Number(retryMs));
// A user who comes back wants to know now.
document.addEventListener('visibilitychange', () => !document.hidden && void tryAgain());

async function tryAgain(): Promise<void> {
  const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' }).catch(() => null);
  if (answer !== null && String(answer.status) !== status) return location.reload();
  const time = new Date().toLocaleTimeString('sv-SE');
  if (note) setText(note, answer === null ? `Tried at ${time}: the dashboard does not answer.` : `Tried at ${time}: no change yet.`);
  window.setTimeout(() => void tryAgain(), Number(retryMs));
}
