/** Nothing is there: only for resolving what is relative. */
const HERE = 'http://here.invalid';

/** Where to go after a sign-in: the page that was asked for, if it is one of ours, else the first one. Never another site. */
export function nextPage(asked: unknown, basePath: string): string {
  const first = `${basePath}/`;
  if (typeof asked !== 'string' || !asked.startsWith('/') || asked.length > 2_048 || !URL.canParse(asked, HERE)) return first;
  // As a browser will read it: with `\` as `/`, without line breaks, and with `..` resolved.
  const { origin, pathname, search, hash } = new URL(asked, HERE);
  if (origin !== HERE || pathname.startsWith('//') || !pathname.startsWith(first) || pathname.startsWith(`${basePath}/sign-`)) return first;
  return `${pathname}${search}${hash}`;
}
