/** Replaces the text between `<!-- peers:NAME -->` and `<!-- /peers:NAME -->`. @throws Error if a marker is missing */
export function replaceBetween(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- peers:${name} -->`, `<!-- /peers:${name} -->`];
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`Expected ${begin} and ${end} in the page: put them back where the text belongs.`);
  return `${page.slice(0, from + begin.length)}\n${text.trim()}\n${page.slice(to)}`;
}
