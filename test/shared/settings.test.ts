import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { type RedisUrl, parseRedisUrl } from '../../shared/redis/redis-url.js';
import { COMPONENTS, EXPECTED_LEVEL, OPEN_WEBUI_LEVELS } from '../../shared/settings/log-levels.js';
import { placeOfPools } from '../../shared/settings/redis.js';
import { SETTINGS, loadSettings, redactUrl, resolveSettings, settingVariables } from '../../shared/settings/settings.js';

function problemsOf(load: () => unknown): string[] {
  try {
    load();
  } catch (error) {
    assert.ok(isFleetError(error, 'INVALID_SETTINGS'), String(error));
    const { problems } = error.details as { problems: string[] };
    for (const problem of problems) assert.ok(error.message.includes(problem), 'every problem is in the message');
    return problems;
  }
  return [];
}

test('every setting has a default that passes its own check', () => {
  const settings = loadSettings({});
  assert.deepEqual({ ...resolveSettings({ ...settings }) }, { ...settings });
  for (const [name, { fallback }] of Object.entries(SETTINGS)) assert.deepEqual(settings[name as keyof typeof SETTINGS], fallback);
});

test('an empty variable counts as unset', () => {
  const empty = Object.fromEntries(Object.values(SETTINGS).map(({ env }) => [env, '']));
  assert.deepEqual(loadSettings({ ...empty, WORKER_LOG_LEVEL: '', REDIS_CLUSTER: '' }), loadSettings({}));
});

test('all problems are reported in one message, each with the variable, the expected and the given value', () => {
  const problems = problemsOf(() =>
    loadSettings({
      REDIS_KEY_PREFIX: 'a b',
      WORKER_CONCURRENCY: '0',
      STOP_GRACE_MS: '-1',
      REDIS_SOCKET_CONNECT_TIMEOUT: 'soon',
      REDIS_SOCKET_KEEPALIVE: 'perhaps',
      OPENAI_API_BASE_URLS: 'https://a.example/v1;ftp://b.example',
      GLOBAL_LOG_LEVEL: 'loud',
      WORKER_LOG_LEVEL: 'verbose',
    }),
  );
  assert.deepEqual(problems.toSorted(), [
    `GLOBAL_LOG_LEVEL: expected ${EXPECTED_LEVEL}, got "loud"`,
    'OPENAI_API_BASE_URLS: expected http(s) URLs separated by semicolons, got something else (not shown)',
    'REDIS_KEY_PREFIX: expected up to 64 letters, digits or . _ - { }, got "a b"',
    'REDIS_SOCKET_CONNECT_TIMEOUT: expected seconds, a number from 0.05 to 600, got "soon"',
    'REDIS_SOCKET_KEEPALIVE: expected true or false, got "perhaps"',
    'STOP_GRACE_MS: expected a whole number from 0 to 3600000, got "-1"',
    'WORKER_CONCURRENCY: expected a whole number from 1 to 1000, got "0"',
    `WORKER_LOG_LEVEL: expected ${EXPECTED_LEVEL}, got "verbose"`,
  ]);
});

test('a secret is not shown when it is wrong', () => {
  const [problem, ...others] = problemsOf(() => loadSettings({ REDIS_URL: 'http://user:hunter2@host' }));
  assert.deepEqual(others, []);
  assert.match(problem ?? '', /^REDIS_URL: expected a URL such as redis:\/\/.* got something else \(not shown\)$/);
  const keys = problemsOf(() => loadSettings({ OPENAI_API_KEYS: 'sk-hunter2;k2', OPENAI_API_BASE_URLS: 'http://a.example' }));
  assert.equal(keys.length, 1);
  assert.doesNotMatch(keys[0] ?? '', /hunter2/);
});

test('any value of any variable is accepted or refused with INVALID_SETTINGS, and the message contains no secret', () => {
  const names = [...settingVariables()];
  const environments = fc.dictionary(fc.constantFrom(...names), fc.string({ unit: 'binary' }), { noNullPrototype: true });
  fc.assert(
    fc.property(environments, (env) => {
      const secret = 'x-hunter2-x';
      try {
        const settings = loadSettings({ ...env, REDIS_URL: secret });
        assert.fail(`accepted ${settings.redisUrl}`);
      } catch (error) {
        assert.ok(error instanceof FleetError && error.code === 'INVALID_SETTINGS', String(error));
        assert.doesNotMatch(error.message, /hunter2/);
      }
    }),
  );
});

test('settings are frozen, and so are their lists and levels', () => {
  const settings = loadSettings({ TASK_MODULES: './a.js', OPENAI_API_BASE_URLS: 'http://a.example', OPENAI_API_KEYS: 'k' });
  for (const value of [settings, settings.taskModules, settings.openaiBaseUrls, settings.openaiKeys, settings.logLevels])
    assert.ok(Object.isFrozen(value));
  assert.ok(Object.isFrozen(loadSettings({}).taskModules), 'an empty list too');
});

test("a caller's list is copied, not frozen", () => {
  const mine = ['./a.js'];
  resolveSettings({ taskModules: mine });
  mine.push('./b.js');
  assert.equal(mine.length, 2);
});

test('seconds in the environment are milliseconds in the settings', () => {
  const settings = loadSettings({ REDIS_SOCKET_CONNECT_TIMEOUT: '1.5', REDIS_HEALTH_CHECK_INTERVAL: '7' });
  assert.equal(settings.connectTimeoutMs, 1_500);
  assert.equal(settings.healthCheckMs, 7_000);
  assert.equal(resolveSettings({ connectTimeoutMs: 1_500 }).connectTimeoutMs, 1_500);
});

test('a wrong duration in code is reported in milliseconds', () => {
  const [problem] = problemsOf(() => resolveSettings({ connectTimeoutMs: 10 }));
  assert.match(problem ?? '', /50 to 600000/);
  assert.match(problem ?? '', /got 10$/);
});

test('a key of OPENAI_API_KEYS keeps its position, also after an empty one', () => {
  const env = { OPENAI_API_BASE_URLS: 'http://a.example;http://b.example;http://c.example' };
  assert.deepEqual(loadSettings({ ...env, OPENAI_API_KEYS: ';k2' }).openaiKeys, ['', 'k2']);
  assert.deepEqual(loadSettings({ ...env, OPENAI_API_KEYS: 'k1; ;k3' }).openaiKeys, ['k1', '', 'k3']);
  assert.deepEqual(loadSettings({ ...env, OPENAI_API_KEYS: ';;' }).openaiKeys, []);
});

test('more keys than base URLs are refused', () => {
  const [problem] = problemsOf(() => loadSettings({ OPENAI_API_BASE_URLS: 'http://a.example', OPENAI_API_KEYS: 'k1;k2' }));
  assert.equal(problem, 'OPENAI_API_KEYS: expected at most one key for each of OPENAI_API_BASE_URLS (1), got 2');
});

test('lists are split and trimmed, without empty parts', () => {
  assert.deepEqual(loadSettings({ TASK_MODULES: ' ./a.js, ./b.js ;,./c.js ' }).taskModules, ['./a.js', './b.js', './c.js']);
  assert.deepEqual(loadSettings({ OPENAI_API_BASE_URLS: 'http://a.example/v1; http://b.example/v1;' }).openaiBaseUrls, [
    'http://a.example/v1',
    'http://b.example/v1',
  ]);
});

test('each component has the global log level unless it has its own', () => {
  const { logLevel, logLevels } = loadSettings({ GLOBAL_LOG_LEVEL: 'WARN', STOP_LOG_LEVEL: 'debug' });
  assert.equal(logLevel, 'warn');
  assert.deepEqual(logLevels, { ...Object.fromEntries(COMPONENTS.map((component) => [component, 'warn'])), stop: 'debug' });
  assert.equal(resolveSettings({ logLevels: { task: 'trace' } }).logLevels.task, 'trace');
});

test('levels may have Python names, in any letter case', () => {
  const levels = {
    WARNING: 'warn',
    Critical: 'fatal',
    NOTSET: 'trace',
    ' info ': 'info',
    ERROR: 'error',
    FATAL: 'fatal',
    Silent: 'silent',
  };
  for (const [given, level] of Object.entries(levels)) {
    const settings = loadSettings({ GLOBAL_LOG_LEVEL: given, TASK_LOG_LEVEL: given });
    assert.deepEqual([settings.logLevel, settings.logLevels.task], [level, level], given);
  }
  for (const given of ['loud', 'constructor', '30', '__proto__'])
    assert.equal(problemsOf(() => loadSettings({ GLOBAL_LOG_LEVEL: given })).length, 1, given);
});

test("a level of open-webui's SRC_LOG_LEVELS applies to the corresponding components, unless they have their own", () => {
  const { logLevels } = loadSettings({
    MAIN_LOG_LEVEL: 'WARNING',
    STOP_LOG_LEVEL: 'debug',
    RAG_LOG_LEVEL: 'ERROR',
    SOCKET_LOG_LEVEL: 'CRITICAL',
    OPENAI_LOG_LEVEL: 'ERROR',
    MODELS_LOG_LEVEL: 'DEBUG',
    AUDIO_LOG_LEVEL: 'ERROR',
  });
  const expected = { dashboard: 'warn', worker: 'warn', stop: 'debug', task: 'error', cleanup: 'fatal', models: 'debug' };
  assert.deepEqual(logLevels, { ...Object.fromEntries(COMPONENTS.map((component) => [component, 'info'])), ...expected });
});

test('an invalid open-webui level is refused, even if it has no effect', () => {
  for (const variable of Object.keys(OPEN_WEBUI_LEVELS)) {
    assert.deepEqual(
      problemsOf(() => loadSettings({ [variable]: 'loud' })),
      [`${variable}: expected ${EXPECTED_LEVEL}, got "loud"`],
    );
  }
});

test('a thread pool of 0 has the default size, and one above 256 is reduced to 256 with a warning', () => {
  assert.equal(loadSettings({ THREAD_POOL_SIZE: '0' }).threads, SETTINGS.threads.fallback);
  assert.deepEqual(loadSettings({ THREAD_POOL_SIZE: '256' }).notices, []);
  const { threads, notices } = loadSettings({ THREAD_POOL_SIZE: '2000' });
  assert.equal(threads, 256);
  assert.deepEqual(notices, ['THREAD_POOL_SIZE: 2000 exceeds the limit; using 256 threads']);
  assert.deepEqual(resolveSettings({ threads, notices }).notices, notices, 'the notice is kept when settings are passed on');
  for (const given of ['-1', '1.5', 'many']) assert.equal(problemsOf(() => loadSettings({ THREAD_POOL_SIZE: given })).length, 1, given);
});

test('keys without a base URL have no effect, with a warning', () => {
  const { notices } = loadSettings({ OPENAI_API_KEYS: 'sk-hunter2' });
  assert.equal(notices.length, 1);
  assert.match(notices[0] ?? '', /^OPENAI_API_KEYS: /);
  assert.doesNotMatch(notices[0] ?? '', /hunter2/);
});

test('the health check can be off, and the reconnect delay may be fractional or zero', () => {
  assert.equal(loadSettings({ REDIS_HEALTH_CHECK_INTERVAL: '0' }).healthCheckMs, 0);
  assert.equal(resolveSettings({ healthCheckMs: 0 }).healthCheckMs, 0);
  assert.equal(loadSettings({ REDIS_HEALTH_CHECK_INTERVAL: '3600' }).healthCheckMs, 3_600_000);
  assert.equal(
    problemsOf(() => loadSettings({ REDIS_HEALTH_CHECK_INTERVAL: '0.01' }))[0],
    'REDIS_HEALTH_CHECK_INTERVAL: expected 0 or seconds, a number from 0.1 to 86400, got "0.01"',
  );
  assert.equal(loadSettings({ REDIS_RECONNECT_DELAY: '0.5' }).reconnectDelayMs, 0.5);
  assert.equal(loadSettings({ REDIS_RECONNECT_DELAY: '250.5' }).reconnectDelayMs, 250.5);
  assert.equal(loadSettings({ REDIS_RECONNECT_DELAY: '0' }).reconnectDelayMs, 0);
});

test('flags accept the words of open-webui and common ones', () => {
  for (const word of ['true', 'True', '1', 'yes', 'ON']) assert.equal(loadSettings({ REDIS_SOCKET_KEEPALIVE: word }).keepAlive, true, word);
  for (const word of ['false', 'False', '0', 'no', 'off'])
    assert.equal(loadSettings({ REDIS_SOCKET_KEEPALIVE: word }).keepAlive, false, word);
  for (const word of ['constructor', '__proto__', 'tru'])
    assert.equal(problemsOf(() => loadSettings({ REDIS_SOCKET_KEEPALIVE: word })).length, 1, word);
});

const URL_OF_NODE = 'redis://127.0.0.1:7000';

test('conflicting settings are named: cluster, sentinels, database, prefix and TLS files', () => {
  const cases: [Record<string, string>, string][] = [
    [{ REDIS_URL: URL_OF_NODE, REDIS_CLUSTER: 'true', REDIS_SENTINEL_HOSTS: 'a,b' }, 'REDIS_CLUSTER'],
    [{ REDIS_CLUSTER: 'true' }, 'REDIS_CLUSTER'],
    [{ REDIS_SENTINEL_HOSTS: 'a' }, 'REDIS_SENTINEL_HOSTS'],
    [{ REDIS_URL: URL_OF_NODE, REDIS_CLUSTER_NODES: 'a:7000' }, 'REDIS_CLUSTER_NODES'],
    [{ REDIS_URL: `${URL_OF_NODE}/3`, REDIS_CLUSTER: 'true' }, 'REDIS_URL'],
    [{ REDIS_URL: URL_OF_NODE, REDIS_CLUSTER: 'true', REDIS_KEY_PREFIX: 'a{b}' }, 'REDIS_KEY_PREFIX'],
    [{ REDIS_URL: 'rediss://host', REDIS_TLS_CERT_FILE: 'a.pem' }, 'REDIS_TLS_CERT_FILE'],
    [{ REDIS_URL: URL_OF_NODE, REDIS_TLS_CA_FILE: 'ca.pem' }, 'REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE'],
    [{ REDIS_URL: URL_OF_NODE, REDIS_SENTINEL_HOSTS: 'a b' }, 'REDIS_SENTINEL_HOSTS'],
  ];
  for (const [env, variable] of cases)
    assert.deepEqual(
      problemsOf(() => loadSettings(env)).map((problem) => problem.split(':')[0]),
      [variable],
      JSON.stringify(env),
    );
});

test("sentinels have their own ports or the configured one, in open-webui's format", () => {
  const { sentinelHosts, sentinelPort } = loadSettings({
    REDIS_URL: 'redis://mymaster/0',
    REDIS_SENTINEL_HOSTS: 'a, b:26380',
    REDIS_SENTINEL_PORT: '26000',
  });
  assert.deepEqual([sentinelHosts, sentinelPort], [['a', 'b:26380'], 26_000]);
});

test("a cluster switched off in open-webui's format is accepted", () => {
  for (const off of ['false', 'False', '0', 'no', ''])
    assert.deepEqual(
      problemsOf(() => loadSettings({ REDIS_CLUSTER: off })),
      [],
      off,
    );
});

test('a lock shorter than the check for stalled tasks is refused', () => {
  const [problem] = problemsOf(() => loadSettings({ LOCK_DURATION_MS: '2000', STALLED_CHECK_INTERVAL_MS: '3000' }));
  assert.equal(problem, 'STALLED_CHECK_INTERVAL_MS: expected at most LOCK_DURATION_MS (2000), got 3000');
});

test('a URL is shown without its password', () => {
  assert.equal(redactUrl('redis://user:hunter2@host:6379/0'), 'redis://user:***@host:6379/0');
  assert.equal(redactUrl('redis://host:6379'), 'redis://host:6379');
  assert.equal(redactUrl('redis://host:6379/0?password=hunter2&sentinelPassword=hunter2'), 'redis://host:6379/0?***');
});

test('an unusable base URL is not shown: its query may contain a key', () => {
  assert.deepEqual(
    problemsOf(() => loadSettings({ OPENAI_API_BASE_URLS: 'ftp://host/?key=hunter2' })),
    ['OPENAI_API_BASE_URLS: expected http(s) URLs separated by semicolons, got something else (not shown)'],
  );
});

test('a Redis URL with an ambiguous password is refused, and not shown', () => {
  for (const url of ['redis://user:12#hunter2@host', 'redis://user:12/hunter2@host:6379', 'redis://user:hunter2#@host', 'http://hunter2']) {
    const [problem = ''] = problemsOf(() => loadSettings({ REDIS_URL: url }));
    assert.match(problem, /^REDIS_URL: expected a URL such as /, url);
    assert.doesNotMatch(problem, /hunter2/);
  }
  for (const url of ['redis://user:a%23%2F%40@host:6379/0', 'rediss://host/0?db=0&family=6', 'redis://host'])
    assert.equal(loadSettings({ REDIS_URL: url }).redisUrl, url);
});

test('invalid parts of a Redis URL are named, and no part that may be secret is shown', () => {
  const cases: [string, RegExp][] = [
    ['redis://host/hunter2', /a database number/],
    ['redis://host/0/1', /a database number/],
    ['redis://host/1e1', /a database number/],
    ['redis://host/-1', /a database number/],
    ['redis://host?keyPrefix=hunter2', /only the query parameters db and family, got "keyPrefix"/],
    ['redis://host/0?connectTimeout=hunter2', /got "connectTimeout"/],
    ['redis://host?password=hunter2', /got "password"/],
    ['redis://host?x%20hunter2=1', /another one \(not shown\)/],
    ['redis://host?family=hunter2', /family once, as 4, 6 or 0/],
    ['redis://host?db=hunter2', /db once/],
    ['redis://host/1?db=2', /one database/],
    ['redis://host:0', /port from 1/],
    ['redis://hunter2%20', /a host name or an address/],
    ['redis:///run/redis/hunter2.sock', /Unix socket/],
    ['REDIS:///run/hunter2.sock?db=1', /Unix socket/],
    ['unix:///run/hunter2.sock', /Unix socket/],
    ['http://hunter2', /a URL such as/],
    ['redis:hunter2', /a URL such as/],
  ];
  for (const variable of ['REDIS_URL', 'WEBSOCKET_REDIS_URL']) {
    for (const [url, problem] of cases) {
      const [got = '', ...others] = problemsOf(() => loadSettings({ REDIS_URL: 'redis://host', [variable]: url }));
      assert.deepEqual(others, [], url);
      assert.match(got, problem, url);
      assert.ok(got.startsWith(`${variable}: expected `), got);
      assert.doesNotMatch(got, /hunter2/);
    }
  }
});

test('a Redis URL is parsed like elsewhere: scheme in any letter case, escapes, IPv6, no host, slashes', () => {
  const cases: [string, Partial<RedisUrl>][] = [
    ['REDISS://host:6380/2', { tls: true, host: 'host', port: 6380, database: 2 }],
    ['  redis://host/3/ ', { tls: false, host: 'host', port: null, database: 3 }],
    ['redis://host/', { database: 0 }],
    ['redis://host?db=4&family=6', { database: 4, family: 6 }],
    ['redis://us%40er:p%3A%2F%C3%A9@host', { username: 'us@er', password: 'p:/é' }],
    ['redis://:100%25%zz%ff@host', { username: '', password: '100%%zz%ff' }],
    ['redis://[2001:db8::1]:7000/1', { host: '2001:db8::1', port: 7000, database: 1 }],
    ['redis:///5', { host: '127.0.0.1', database: 5 }],
  ];
  for (const [url, expected] of cases) {
    const { redisUrl } = loadSettings({ REDIS_URL: url });
    const parsed = parseRedisUrl(redisUrl ?? '');
    assert.deepEqual({ ...parsed, ...expected }, parsed, url);
    assert.equal(redisUrl, redisUrl?.trim());
    assert.match(redisUrl ?? '', /^rediss?:/);
  }
});

test('the pools use the same Redis, unless WEBSOCKET_ variables name another', () => {
  const main = { REDIS_URL: 'redis://host/0' };
  const sentinels = { REDIS_URL: 'redis://mymaster/0', REDIS_SENTINEL_HOSTS: 'a,b' };
  const place = (env: Record<string, string>) => placeOfPools(loadSettings(env));
  for (const same of [
    main,
    { ...main, WEBSOCKET_REDIS_URL: 'redis://host/0' },
    { ...main, WEBSOCKET_REDIS_CLUSTER: 'false' },
    sentinels,
    { ...sentinels, WEBSOCKET_REDIS_URL: 'redis://mymaster/0', WEBSOCKET_SENTINEL_HOSTS: 'a,b' },
  ]) {
    assert.equal(place(same), null, JSON.stringify(same));
  }
  assert.deepEqual(place({ ...main, WEBSOCKET_REDIS_URL: 'redis://host/1' }), {
    redisUrl: 'redis://host/1',
    cluster: false,
    sentinelHosts: [],
    sentinelPort: 26_379,
  });
  assert.deepEqual(place({ ...sentinels, WEBSOCKET_REDIS_URL: 'redis://plain/0' })?.sentinelHosts, []);
  assert.deepEqual(place({ ...main, REDIS_CLUSTER: 'true', WEBSOCKET_REDIS_URL: 'redis://other' })?.cluster, true, 'as in open-webui');
  assert.deepEqual(place({ ...main, WEBSOCKET_REDIS_SENTINEL_HOSTS: 'c', WEBSOCKET_REDIS_SENTINEL_PORT: '7' }), {
    redisUrl: 'redis://host/0',
    cluster: false,
    sentinelHosts: ['c'],
    sentinelPort: 7,
  });
  const refused: [Record<string, string>, string][] = [
    [{ ...main, WEBSOCKET_REDIS_URL: 'redis://host/1', WEBSOCKET_REDIS_CLUSTER: 'true' }, 'WEBSOCKET_REDIS_URL'],
    [{ ...main, WEBSOCKET_REDIS_CLUSTER: 'true', WEBSOCKET_SENTINEL_HOSTS: 'a' }, 'WEBSOCKET_REDIS_CLUSTER'],
    [{ WEBSOCKET_SENTINEL_HOSTS: 'a' }, 'WEBSOCKET_REDIS_CLUSTER, WEBSOCKET_SENTINEL_HOSTS'],
    [{ ...main, WEBSOCKET_REDIS_CLUSTER: 'true', REDIS_KEY_PREFIX: 'a{b}' }, 'REDIS_KEY_PREFIX'],
  ];
  for (const [env, variable] of refused)
    assert.deepEqual(
      problemsOf(() => loadSettings(env)).map((problem) => problem.split(':')[0]),
      [variable],
      JSON.stringify(env),
    );
});

test('extensions of documents may have a dot or not, in any letter case', () => {
  assert.deepEqual(loadSettings({ DOCUMENT_EXTENSIONS: 'MD, .txt;.d.ts,' }).documentExtensions, ['.md', '.txt', '.d.ts']);
  assert.equal(loadSettings({}).documentRoot, null);
  for (const bad of [',', 'a/b', '.']) {
    assert.deepEqual(
      problemsOf(() => loadSettings({ DOCUMENT_EXTENSIONS: bad })),
      [`DOCUMENT_EXTENSIONS: expected extensions such as .md, separated by commas, got ${JSON.stringify(bad)}`],
    );
  }
});
