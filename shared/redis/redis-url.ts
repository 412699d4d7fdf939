/** The parts of a Redis URL. */
export interface RedisUrl {
  readonly tls: boolean;
  readonly host: string;
  /** Null if the URL has none. */
  readonly port: number | null;
  readonly database: number;
  readonly username: string;
  readonly password: string;
  /** IP version for resolving the host; 0 for either. */
  readonly family: 0 | 4 | 6;
}

/** Supported query parameters: redis-py and ioredis agree on them, and no setting covers them. */
const QUERY_NAMES = ['db', 'family'];
const HOST = /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9._-]*)$/i;
const DATABASE = /^\/?(?<number>\d{0,9})\/?$/;
/** A parameter name that is safe to show. */
const NAME = /^\w{1,64}$/;

/** Parses a URL that {@link problemOfRedisUrl} accepts. The default host is 127.0.0.1. */
export function parseRedisUrl(text: string): RedisUrl {
  const url = new URL(text.trim());
  const { protocol, hostname, port, pathname, username, password, searchParams } = url;
  const path = DATABASE.exec(pathname)?.groups?.['number'] ?? '';
  return {
    tls: protocol === 'rediss:',
    host: (hostname.startsWith('[') ? hostname.slice(1, -1) : hostname) || '127.0.0.1',
    port: port === '' ? null : Number(port),
    database: Number(path || (searchParams.get('db') ?? '')),
    username: unescaped(username),
    password: unescaped(password),
    family: Number(searchParams.get('family') ?? 0) as RedisUrl['family'],
  };
}

/**
 * Returns what is wrong with a Redis URL, as "expected …, got …" without secrets. Null if it is valid, or not a Redis URL at all.
 */
export function problemOfRedisUrl(text: string): string | null {
  const trimmed = text.trim();
  if (/^unix:|^redis(s?):\/\/\/(?!\d*\/?(\?|$))/i.test(trimmed))
    return 'expected redis://host:port, over TCP, got the path of a Unix socket, which is not supported';
  if (!isRedisUrl(trimmed)) return null;
  const { hostname, port, pathname, searchParams } = new URL(trimmed);
  if (!HOST.test(hostname)) return 'expected a host name or an address, IPv6 in brackets, got something else (not shown)';
  if (port === '0') return 'expected a port from 1 to 65535, got 0';
  if (!DATABASE.test(pathname)) return 'expected a database number after the host, such as /0, got something else (not shown)';
  for (const name of new Set(searchParams.keys())) {
    if (!QUERY_NAMES.includes(name))
      return (
        `expected only the query parameters db and family, got ${NAME.test(name) ? JSON.stringify(name) : 'another one (not shown)'}; ` +
        'timeouts, TLS and the prefix have their own variables, and user and password come before the host'
      );
  }
  return problemOfQuery(searchParams, pathname.replaceAll('/', ''));
}

/** True for the form of a Redis URL whose password cannot be mistaken for another part. */
export function isRedisUrl(text: string): boolean {
  // An unescaped `#` or `/` in a password would turn part of it into the host, which messages show.
  return URL.canParse(text) && /^rediss?:\/\//i.test(text) && !/#|^[^?]*\/[^?]*@/.test(text.slice(text.indexOf('//') + 2));
}

function problemOfQuery(query: URLSearchParams, path: string): string | null {
  const databases = query.getAll('db');
  const families = query.getAll('family');
  if (databases.length > 1 || databases.some((database) => !/^\d{1,9}$/.test(database)))
    return 'expected db once, as a database number, got something else';
  if (path !== '' && databases.some((database) => Number(database) !== Number(path)))
    return 'expected one database, got one after the host and another as db';
  if (families.length > 1 || families.some((family) => !/^[046]$/.test(family)))
    return 'expected family once, as 4, 6 or 0, got something else';
  return null;
}

/** Decodes escapes as Python does: invalid ones stay unchanged. */
function unescaped(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}
