import type { Redis } from 'ioredis';
import { type RedisConnection, isCluster } from './connection.js';
import { textRefusedWith } from './refusals.js';

type Kind = 'standalone' | 'sentinel' | 'cluster';

/** By what Redis, or the connection to it, says: what to change. Only what does not pass by itself. */
const ADVICE: readonly { readonly says: RegExp; readonly kind?: Kind; readonly advice: string }[] = [
  {
    says: /^All sentinels are unreachable.*\b(NOAUTH|WRONGPASS|ERR AUTH|ERR invalid password)\b/,
    advice:
      'The sentinels want another password, or one at all: set REDIS_SENTINEL_PASSWORD, and REDIS_SENTINEL_USERNAME if it is not that of the user default.',
  },
  {
    says: /\b(WRONGPASS|ERR invalid password)\b/,
    advice: 'Correct the user name and the password in REDIS_URL, redis://user:password@host:port, with special characters as %40.',
  },
  { says: /\bNOAUTH\b/, advice: 'Put the user name and the password into REDIS_URL: redis://user:password@host:port.' },
  {
    says: /\bDENIED\b/,
    advice:
      'Redis is in protected mode: it has no password, and serves its own machine only. Give it one (requirepass, or users), or set protected-mode no in a network that is trusted.',
  },
  {
    says: /^NOPERM\b.*'select'/,
    advice: 'The user of REDIS_URL may not change to its database: run ACL SETUSER with +select for that user, or take database 0.',
  },
  {
    says: /DB index is out of range|invalid DB index|Only 0th database/i,
    advice: 'Redis does not have the database that REDIS_URL names: take a lower number, or raise `databases` in its configuration.',
  },
  {
    says: /SELECT is not allowed in cluster/,
    advice: 'It is a node of a Redis Cluster, which has database 0 only: set REDIS_CLUSTER=true, and take the number out of REDIS_URL.',
  },
  { says: /cluster support disabled/, advice: 'It is no cluster: unset REDIS_CLUSTER.' },
  { says: /^(MOVED|CROSSSLOT|ASK)\b/, kind: 'standalone', advice: 'It is a node of a Redis Cluster: set REDIS_CLUSTER=true.' },
  {
    says: textRefusedWith('READONLY'),
    kind: 'standalone',
    advice: 'It is a replica: set REDIS_URL to its master, or name the sentinels in REDIS_SENTINEL_HOSTS.',
  },
  {
    says: /CERTIFICATE_REQUIRED|alert certificate required|alert handshake failure/i,
    advice: 'It wants to see a certificate: set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE.',
  },
  {
    says: /alert unknown ca\b/i,
    advice: 'It does not know who signed the certificate of REDIS_TLS_CERT_FILE: take one that its tls-ca-cert-file has signed.',
  },
  {
    says: /self-signed certificate|unable to verify|unable to get (local )?issuer|certificate signature failure/i,
    advice: 'It is not known who signed the certificate of Redis: set REDIS_TLS_CA_FILE to the certificate that has.',
  },
  { says: /certificate has expired/i, advice: 'Renew the certificate of Redis.' },
  { says: /does not match certificate's altnames/i, advice: 'Reach Redis by a name that its certificate has, or make one for this name.' },
  {
    says: /wrong version number|packet length too long/i,
    advice: 'It does not speak TLS there: begin REDIS_URL with redis://, or take its port for TLS.',
  },
];

const UNKNOWN_SERVICE =
  'The sentinels answer, and watch no master of that name: the host of REDIS_URL has to be the name by which they know it.';
/** Connections whose sentinels know no such master. That alone is no error: it says the same when they name one that is dead. */
const ofUnknownService = new WeakSet<RedisConnection>();

/** Notes what the sentinels of a connection say. */
export function heedSentinels(redis: Redis): void {
  redis.on('sentinelError', ({ message }: Error) => {
    if (message.endsWith('invalid reply: null')) ofUnknownService.add(redis);
    else ofUnknownService.delete(redis);
  });
  redis.on('connect', () => ofUnknownService.delete(redis));
}

/** What to change where a connection fails, or is refused what the fleet needs; null for what may pass by itself. */
export function adviceFor(redis: RedisConnection, text: string): string | null {
  if (text.startsWith('All sentinels are unreachable') && ofUnknownService.has(redis)) return UNKNOWN_SERVICE;
  const kind = kindOf(redis);
  return ADVICE.find(({ says, kind: only = kind }) => only === kind && says.test(text))?.advice ?? null;
}

function kindOf(redis: RedisConnection): Kind {
  // One with a Connector of ours follows a slot of a cluster.
  if (isCluster(redis) || redis.options.Connector) return 'cluster';
  return redis.options.sentinels ? 'sentinel' : 'standalone';
}
