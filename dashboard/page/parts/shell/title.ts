const NAME = 'taskfleet';

let text: string | null = null;
let failures = 0;

/** Sets what the page shows as the title of the document. */
export function setTitle(title: string): void {
  text = title;
  write();
}

/** Puts the number of recent failures in front of the document's title, so that a tab in the background shows it. */
export function showFailures(number: number): void {
  failures = number;
  write();
}

function write(): void {
  text ??= document.title.replace(` · ${NAME}`, '');
  const title = `${failures > 0 ? `(${failures.toLocaleString('en')} failed) ` : ''}${text} · ${NAME}`;
  if (document.title !== title) document.title = title;
}
