import { FleetError } from '../../shared/errors.js';

/**
 * Parses the query of a URL, independently of the query parser of the app that mounts the router. A repeated name becomes an array.
 * @throws FleetError `BAD_REQUEST`
 */
export function readQuery(url: string): Record<string, string | string[]> {
  const start = url.indexOf('?');
  const values = new Map<string, string | string[]>();
  if (start === -1) return {};
  for (const pair of url
    .slice(start + 1)
    .split('&')
    .filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1));
    const before = values.get(name);
    values.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(values);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw new FleetError('BAD_REQUEST', 'Bad query: expected percent-encoded UTF-8.', { cause: error, details: { field: 'query' } });
  }
}
