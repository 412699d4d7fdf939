/** What a URL of Redis says. */
export interface RedisUrl {
  readonly tls: boolean;
  readonly host: string;
  /** Null if the URL has none. */
  readonly port: number | null;
  readonly database: number;
  readonly username: string;
  readonly password: string;
  /** The version of IP that the host's name is resolved for; 0 for either. */
  readonly family: 0 | 4 | 6;
}

/** The names that a URL's query may have: those that redis-py and ioredis understand alike, and that no setting has. */
const QUERY_NAMES = ['db', 'family'];
const HOST = /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9._-]*)$/i;
const DATABASE = /^\/?(?<number>\d{0,9})\/?$/;
/** A name that may be shown. */
const NAME = /^\w{1,64}$/;

/** Reads a URL that {@link problemOfRedisUrl} has nothing against. The host of one without a host is this machine. */
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
 * What is wrong with a URL of Redis: "expected …, got …", without a part that may be a secret. Null if it is a good one, or
 * if there is no more to say than that it is none.
 */
export function problemOfRedisUrl(text: string): string | null {
  const trimmed = text.trim();
  if (/^unix:|^redis(s?):\/\/\/(?!\d*\/?(\?|$))/i.test(trimmed))
    return 'expected redis://host:port, over TCP, got the path of a Unix socket, which is not supported';
  if (!isRedisUrl(trimmed)) return null;
  const { hostname, port, pathname, searchParams } = new URL(trimmed);
  if (!HOST.test(hostname)) return 'expected a host name or an address, IPv6 in brackets, got another host (not shown)';
  if (port === '0') return 'expected a port from 1 to 65535, got 0';
  if (!DATABASE.test(pathname)) return 'expected the number of a database behind the host, such as /0, got something else (not shown)';
  for (const name of new Set(searchParams.keys())) {
    if (!QUERY_NAMES.includes(name))
      return `expected no query but db and family, got ${NAME.test(name) ? JSON.stringify(name) : 'another name (not shown)'}; timeouts, TLS and the prefix have variables of their own, and user and password come before the host`;
  }
  return problemOfQuery(searchParams, pathname.replaceAll('/', ''));
}

/** Whether it has the form of a URL of Redis at all, and no password in it is taken for something else. */
export function isRedisUrl(text: string): boolean {
  // A `#` or `/` in a password would make half of it the host, which messages show.
  return URL.canParse(text) && /^rediss?:\/\//i.test(text) && !/#|^[^?]*\/[^?]*@/.test(text.slice(text.indexOf('//') + 2));
}

function problemOfQuery(query: URLSearchParams, path: string): string | null {
  const databases = query.getAll('db');
  const families = query.getAll('family');
  if (databases.length > 1 || databases.some((database) => !/^\d{1,9}$/.test(database)))
    return 'expected the number of a database as db, once, got something else';
  if (path !== '' && databases.some((database) => Number(database) !== Number(path)))
    return 'expected one database, got one behind the host and another one as db';
  if (families.length > 1 || families.some((family) => !/^[046]$/.test(family)))
    return 'expected 4, 6 or 0 as family, once, got something else';
  return null;
}

/** As Python does it: what is no escape of a character stays as it is. */
function unescaped(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}
