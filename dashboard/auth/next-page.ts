/** A base for resolving relative URLs; never requested. */
const HERE = 'http://here.invalid';

/**
 * Returns the page to open after a sign-in: the requested one if it belongs to the dashboard, else the first page. Never another site.
 */
export function nextPage(requested: unknown, basePath: string): string {
  const first = `${basePath}/`;
  if (typeof requested !== 'string' || !requested.startsWith('/') || requested.length > 2_048 || !URL.canParse(requested, HERE))
    return first;
  // Parsed as browsers do: `\` becomes `/`, line breaks are dropped, `..` is resolved.
  const { origin, pathname, search, hash } = new URL(requested, HERE);
  if (origin !== HERE || pathname.startsWith('//') || !pathname.startsWith(first) || pathname.startsWith(`${basePath}/sign-`)) return first;
  return `${pathname}${search}${hash}`;
}
