import type { Redis } from 'ioredis';
import type { Keys } from '../../shared/keys.js';

/** One way to corrupt one key. */
export interface BadKey {
  readonly name: string;
  readonly key: string;
  /** Whether nothing of the key is left, so that what it lists is not read. */
  readonly hides: boolean;
  /** Replaces the key's value. */
  readonly write: (client: Redis) => Promise<unknown>;
}

type Type = 'string' | 'list' | 'hash' | 'set' | 'zset' | 'stream';

const WRITERS: Readonly<Record<Type, (client: Redis, key: string) => Promise<unknown>>> = {
  string: (client, key) => client.set(key, 'garbage'),
  list: (client, key) => client.rpush(key, 'garbage', 'of a list'),
  hash: (client, key) => client.hset(key, { garbage: 'of a hash', '': '' }),
  set: (client, key) => client.sadd(key, 'garbage', '{}'),
  zset: (client, key) => client.zadd(key, 1, 'garbage'),
  stream: (client, key) => client.xadd(key, '*', 'garbage', 'of a stream'),
};
const TYPES = Object.keys(WRITERS) as Type[];

/** The ids of the corpus's tasks. */
export interface Seeded {
  readonly queue: string;
  readonly item: string;
  /** An intact waiting job. */
  readonly good: string;
  /** Corrupted jobs, by their place. */
  readonly waiting: string;
  readonly completed: string;
  readonly failed: string;
  readonly worker: string;
}

type Spoil = readonly [name: string, write: (client: Redis, key: string) => Promise<unknown>];

/** A key, its type, and garbage of that type. */
type Target = readonly [name: string, key: string, type: Type, ...garbage: Spoil[]];

function targets(keys: Keys, { queue, item, waiting, completed, failed, worker }: Seeded): Target[] {
  const jobs = keys.jobs(queue);
  const set =
    (...words: string[]): Spoil[1] =>
    async (client, key) =>
      client.sadd(key, ...words);
  const fields =
    (values: Record<string, string>): Spoil[1] =>
    async (client, key) =>
      client.hset(key, values);
  const scores =
    (...words: (string | number)[]): Spoil[1] =>
    async (client, key) =>
      client.zadd(key, ...words);
  const field = (name: string, value: string): Spoil => [`${name} ${value.slice(0, 20)}`, fields({ [name]: value })];
  const times = ['abc', '1e18', '-5', ''];
  const opts = [
    'not JSON',
    '[]',
    'null',
    '7',
    '{"item":7}',
    '{"item":{"a":1}}',
    '{"attempts":"many","priority":"NaN"}',
    '{"childOf":"x","schedule":[],"deadline":"soon"}',
  ];
  const job: Spoil[] = [
    ...times.map((value): Spoil => [`times ${value}`, fields({ timestamp: value, processedOn: value, finishedOn: value })]),
    ...opts.map((value) => field('opts', value)),
    ...['-1', 'NaN'].map((value): Spoil => [
      `numbers ${value}`,
      fields({ atm: value, ats: value, stc: value, priority: value, delay: value }),
    ]),
    ...['x', '{"at":1e308}', '{"at":"x","reason":7}'].map((value) => field('stop', value)),
    [
      'no JSON',
      fields(
        Object.fromEntries(
          ['progress', 'returnvalue', 'data', 'failedReason', 'stacktrace', 'name', 'pb'].map((name) => [name, '{not JSON']),
        ),
      ),
    ],
    ['other version', fields({ version: '99', newField: '[]' })],
    ['without its fields', async (client, key) => client.del(key).then(() => client.hset(key, { name: 'x' }))],
    ['gone', async (client, key) => client.del(key)],
  ];
  return [
    ['p:tasks', keys.tasks, 'hash', ['foreign garbage', fields({ '': '', 'a b': '\u0007', '[31m': 'x' })]],
    ['p:tasks:live', keys.live, 'zset', ['scores', scores('inf', 'in-heaven', '-inf', 'in-hell', 0, 'never', 1e300, 'late', 0.5, 'half')]],
    [
      'p:tasks:queues',
      keys.taskQueues,
      'hash',
      ['queues that are none', fields({ lost: 'no:such queue', other: '', [waiting]: 'elsewhere' })],
    ],
    ['p:tasks:item', keys.item(item), 'set', ['strangers', set('', 'stranger', ' ')]],
    ['p:items', keys.ownItem(item), 'set', ['strangers', set('', 'stranger', ' ')]],
    ['p:fleet', keys.fleet, 'string'],
    ['p:open_webui', keys.openWebui, 'string'],
    ['a lease', keys.lease(waiting), 'string'],
    ['p:tasks:stops', keys.pendingStops, 'hash', ['garbage', fields({ [waiting]: 'x', stranger: '[]' })]],
    [
      'p:tasks:events',
      keys.events(waiting),
      'stream',
      ['garbage', async (client, key) => client.xadd(key, '*', 'type', 'state', 'data', '{"not"')],
    ],
    ['p:tasks:children', keys.children(waiting), 'set', ['strangers', set('', 'stranger')]],
    [
      'p:queues',
      keys.queues,
      'set',
      ['garbage', set('', ':', 'a:b', 'x y', '\u0000', '../..', '{x}', 'ok-but-empty')],
      ['3,000 names', set(...Array.from({ length: 3_000 }, (_, index) => `name-${index}`))],
    ],
    ['p:workers', keys.workers, 'zset', ['scores', scores('inf', 'w-inf', '-inf', 'w-past', -5, 'w-neg')]],
    [
      'a worker',
      keys.worker(worker),
      'hash',
      [
        'garbage',
        fields({ running: '{', queues: '"x"', slots: 'NaN', pid: '-1', started_at: '1e18', stop_p50_ms: 'x', draining: 'perhaps' }),
      ],
      ['other version', async (client, key) => client.del(key).then(() => client.hset(key, { v: '2' }))],
    ],
    [
      'p:reconcile',
      keys.reconcile,
      'hash',
      ['garbage', fields({ at: 'abc', took_ms: 'x', cursor: '[', removed: '-1', entries: '{}' })],
      ['future', fields({ at: '9e15' })],
    ],
    ['p:schedules', keys.schedules, 'hash', ['garbage', fields({ x: '{', y: '[]', 'a:b': '{}', z: '{"every_ms":"x"}' })]],
    ['p:schedules:runs', keys.scheduleRuns, 'hash', ['garbage', fields({ nightly: 'nobody', '': '' })]],
    ['audit', keys.audit, 'stream', ['garbage', async (client, key) => client.xadd(key, '*', 'role', 'king', 'at', '1e308', 'via', 'air')]],
    ['denied audit', keys.auditDenied, 'stream', ['unknown fields', async (client, key) => client.xadd(key, '*', 'x', 'y')]],
    [
      'counters',
      keys.counters,
      'hash',
      ['garbage', fields({ x: 'y', 'enqueued|a|b': 'NaN', 'wait|a|inf': '{}', 'stops|x|y': '1e400', 'finished|a': '1' })],
    ],
    [
      'minute',
      keys.minute(String(Math.floor(Date.now() / 60_000))),
      'hash',
      ['garbage', fields({ completed: 'x', 'stop|x': '1', 'stop|99999': '2', failed: '-1' })],
    ],
    [
      'a slot of the series',
      keys.series('1h', String(Math.floor(Date.now() / 3_600_000))),
      'hash',
      ['garbage', fields({ 'finished|a|failed': 'x', 'run|a|1': '-1', 'run|a|1e9': '1', 'run||': '2', '|||': '', 'wait|a|2': '1e400' })],
    ],
    ['plans', keys.plans, 'hash', ['garbage', fields({ x: '{', y: '[]', '': 'null' })]],
    ['models', keys.models, 'hash', ['garbage', fields({ x: '{' })]],
    ['usage pool', keys.usagePool, 'hash', ['garbage', fields({ x: '{', y: '[]' })]],
    ['session pool', keys.sessionPool, 'hash', ['garbage', fields({ x: '{' })]],
    ['a waiting job', jobs + waiting, 'hash', ...job],
    ['a completed job', jobs + completed, 'hash'],
    ['a failed job', jobs + failed, 'hash', ...job.filter((_, index) => index % 3 === 0)],
    [
      'an index of ended tasks',
      keys.kept(queue, 'failed', 'corpus.task'),
      'zset',
      ['strangers', scores(0, 'stranger', 'inf', failed, 1, '')],
    ],
    [
      'limits of ended tasks',
      keys.keptLimits(queue),
      'hash',
      ['garbage', fields({ x: '1:1', 'failed:': ':::', 'failed:corpus.task': 'x', 'cancelled:a b': '1:0' })],
    ],
    ['wait', `${jobs}wait`, 'list', ['ids without a job', async (client, key) => client.lpush(key, 'nobody', '', ' ', 'wait', 'meta')]],
    ['active', `${jobs}active`, 'list', ['ids without a job', async (client, key) => client.lpush(key, 'nobody-active', 'events')]],
    ...(['delayed', 'completed', 'failed', 'prioritized', 'waiting-children'] as const).map((place): Target => [
      place,
      jobs + place,
      'zset',
      ['ids without a job', scores('inf', `nobody-${place}`, '-inf', '', 5, 'meta')],
    ]),
    ['meta', `${jobs}meta`, 'hash', ['garbage', fields({ opts: '{', version: '[]', concurrency: 'x' })]],
    ['repeat', `${jobs}repeat`, 'zset', ['garbage', scores('inf', 'nightly', 5, 'stranger')]],
    ['events of the queue', `${jobs}events`, 'stream'],
    ['marker', `${jobs}marker`, 'zset'],
    ['stalled', `${jobs}stalled`, 'set'],
  ];
}

/** Atomic: a worker may write the key again once it is deleted. */
async function replace(client: Redis, key: string, type: Type): Promise<void> {
  await WRITERS[type](client, `${key}:spoilt`);
  await client.rename(`${key}:spoilt`, key);
}

/** Returns the corpus: each key with a wrong type and with garbage. `every`: all wrong types; default one per key, in rotation. */
export function badKeys(keys: Keys, seeded: Seeded, every: boolean): BadKey[] {
  return targets(keys, seeded).flatMap(([name, key, type, ...garbage], place) => {
    const others = TYPES.filter((other) => other !== type);
    const wrong = every ? others : [others[place % others.length] as Type];
    return [
      ...wrong.map((other) => ({ name: `${name} is a ${other}`, key, hides: true, write: (client: Redis) => replace(client, key, other) })),
      ...garbage.map(([what, write]) => ({ name: `${name}: ${what}`, key, hides: false, write: (client: Redis) => write(client, key) })),
    ];
  });
}
