import { z } from 'zod';
import { describeValue } from '../arguments.js';
import { FleetError } from '../errors.js';
import { API_SETTINGS } from './api.js';
import { type Setting, choice, httpUrl, integer, list, optionalText, seconds } from './kinds.js';
import {
  COMPONENTS,
  type Component,
  EXPECTED_LEVEL,
  type LogLevel,
  OPEN_WEBUI_LEVELS,
  levelSchema,
  levelVariable,
  levelVariables,
} from './log-levels.js';
import { REDIS_SETTINGS, problemsOfRedis } from './redis.js';
import { WORKER_SETTINGS, problemsOfWorker } from './worker.js';

/** Whether the registry is shared with open-webui: `auto` is on under open-webui's prefix, and once a task of open-webui was seen. */
const OPEN_WEBUI_MODES = ['auto', 'on', 'off'] as const;
export type OpenWebuiMode = (typeof OPEN_WEBUI_MODES)[number];

/** Secret because a URL may contain credentials. */
const openaiBaseUrls: Setting<readonly string[]> = {
  ...list(
    'OPENAI_API_BASE_URLS',
    /;/,
    'http(s) URLs separated by semicolons',
    'OpenAI-compatible servers for `chat.completion` and `models.refresh`, for example `https://host/v1`.',
    httpUrl,
  ),
  secret: true,
};

/** Keys and base URLs are matched by position, so empty keys are kept. */
const openaiKeys: Setting<readonly string[]> = {
  env: 'OPENAI_API_KEYS',
  fallback: Object.freeze([]),
  about: 'API keys of the base URLs, in the same order; empty for a server without a key.',
  expected: 'keys separated by semicolons',
  schema: z
    .union([z.array(z.string()), z.string().transform((text) => text.split(';'))])
    .transform((keys) => keys.map((key) => key.trim()))
    .transform((keys) => keys.slice(0, keys.findLastIndex((key) => key !== '') + 1)),
  secret: true,
};

const UNLIMITED = 'for each of OPENAI_API_BASE_URLS, over all workers; 0 for any number.';

/** The rates of `chat.completion`. */
const CHAT_SETTINGS = {
  chatRequestsPerMinute: integer('CHAT_REQUESTS_PER_MINUTE', 0, 0, 1_000_000, `Requests of \`chat.completion\` per minute ${UNLIMITED}`),
  chatTokensPerMinute: integer('CHAT_TOKENS_PER_MINUTE', 0, 0, 1_000_000_000, `Tokens of \`chat.completion\` per minute ${UNLIMITED}`),
} as const;

/** In lower case, with the dot. */
const documentExtensions: Setting<readonly string[]> = {
  env: 'DOCUMENT_EXTENSIONS',
  fallback: Object.freeze(['.md', '.markdown', '.txt', '.text', '.rst', '.adoc', '.org', '.tex']),
  about: 'Extensions of the files that `document.index` reads.',
  expected: 'extensions such as .md, separated by commas',
  schema: z
    .union([z.array(z.string()), z.string().transform((text) => text.split(/[,;]/))])
    .transform((parts) => parts.map((part) => part.trim().toLowerCase().replace(/^\.?/, '.')).filter((part) => part !== '.'))
    .pipe(z.array(z.string().regex(/^\.[^/\\\0]{1,31}$/)).min(1)),
};

const logLevel: Setting<LogLevel> = {
  env: 'GLOBAL_LOG_LEVEL',
  fallback: 'info',
  about: 'Log level of every component without its own (`WORKER_LOG_LEVEL`, `STOP_LOG_LEVEL`, …).',
  expected: EXPECTED_LEVEL,
  schema: levelSchema,
};

const UNUSED_KEYS = 'OPENAI_API_KEYS: ignored because OPENAI_API_BASE_URLS is not set';

/** All settings except the components' log levels. */
export const SETTINGS = {
  ...REDIS_SETTINGS,
  openWebui: choice(
    'OPEN_WEBUI',
    'auto',
    OPEN_WEBUI_MODES,
    'Whether live tasks get the leases that open-webui checks: `auto`, `on` or `off`. `auto` is on under the prefix `open-webui`, ' +
      'and once a task of open-webui was seen.',
  ),
  redisPort: integer('EMBEDDED_REDIS_PORT', 6399, 1, 65_535, "The embedded redis-server's port on loopback; if it is taken, a free port."),
  ...WORKER_SETTINGS,
  reconcileMs: integer('RECONCILE_INTERVAL_MS', 10_000, 200, 3_600_000, 'How often the fleet reconciles its registry with its queues.'),
  enqueueGraceMs: integer(
    'ENQUEUE_GRACE_MS',
    60_000,
    1_000,
    3_600_000,
    'How long a registered task may have no job before it counts as lost.',
  ),
  cleanupLockMs: seconds(
    'WEBSOCKET_REDIS_LOCK_TIMEOUT',
    60_000,
    0.1,
    3_600,
    'Seconds until the lock of a clean-up expires if its owner is gone.',
  ),
  usageTimeoutMs: seconds(
    'USAGE_POOL_TIMEOUT',
    3_000,
    1,
    86_400,
    'Seconds without a sign of life after which a session no longer counts as using its model.',
  ),
  usageCleanMs: integer('USAGE_POOL_CLEAN_INTERVAL_MS', 3_000, 200, 3_600_000, 'How often the usage pool is cleaned up.'),
  sessionTimeoutMs: seconds(
    'SESSION_POOL_TIMEOUT',
    120_000,
    1,
    86_400,
    'Seconds without a sign of life after which a session is removed from the session pool.',
  ),
  sessionCleanMs: integer('SESSION_POOL_CLEAN_INTERVAL_MS', 30_000, 200, 3_600_000, 'How often the session pool is cleaned up.'),
  modelsRefreshMs: integer('MODELS_REFRESH_INTERVAL_MS', 300_000, 1_000, 86_400_000, "How often the servers' models are refreshed."),
  modelListTimeoutMs: seconds('AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST', 10_000, 0.1, 600, "Timeout for listing a server's models."),
  maxInputBytes: integer('MAX_INPUT_BYTES', 1_048_576, 1_024, 67_108_864, 'Longest input of a task, in bytes of JSON.'),
  maxResultBytes: integer(
    'MAX_RESULT_BYTES',
    1_048_576,
    1_024,
    67_108_864,
    'Longest result of a task, in bytes of JSON; a task with a longer result fails.',
  ),
  openaiBaseUrls,
  openaiKeys,
  ...CHAT_SETTINGS,
  documentRoot: optionalText(
    'DOCUMENT_ROOT',
    'a path',
    'The folder that `document.index` may read; without it the task fails. Dotfiles are never read.',
  ),
  documentExtensions,
  ...API_SETTINGS,
  telemetryPropagation: choice(
    'TELEMETRY_PROPAGATION',
    'link',
    ['link', 'parent'],
    'With OpenTelemetry: whether an attempt begins a trace with a link to its enqueue, or is a child of the enqueue: `link` or `parent`.',
  ),
  logLevel,
} as const;

type Table = typeof SETTINGS;
export type Settings = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer Value> ? Value : never;
} & {
  readonly logLevels: Readonly<Record<Component, LogLevel>>;
  /** Messages about adjusted values and ignored settings, which a worker logs when it starts. */
  readonly notices: readonly string[];
};

export type Environment = Readonly<Record<string, string | undefined>>;

interface GivenLevel {
  readonly variable: string;
  readonly level: unknown;
}

/**
 * Reads all settings from environment variables. An empty variable counts as absent.
 * @throws FleetError `INVALID_SETTINGS`, whose message lists every problem: the variable, the expected and the actual value
 */
export function loadSettings(env: Environment): Settings {
  const given: Partial<Record<keyof Table, unknown>> = {};
  for (const [name, setting] of entries()) {
    const value = env[setting.env] || (setting.alias && env[setting.alias]);
    if (value) given[name] = value;
  }
  const levels = new Map<Component, GivenLevel>();
  for (const component of COMPONENTS) {
    const variable = levelVariables(component).find((name) => env[name]);
    if (variable) levels.set(component, { variable, level: env[variable] });
  }
  const unused = Object.keys(OPEN_WEBUI_LEVELS).flatMap((variable) => (env[variable] ? [{ variable, level: env[variable] }] : []));
  return check(given, { levels, unused, notices: [] }, false);
}

/** Settings for embedding code, in the units of {@link Settings}; the rest default. */
export type SettingsInput = { readonly [Name in keyof Table]?: Settings[Name] | undefined } & {
  readonly logLevels?: Readonly<Partial<Record<Component, LogLevel>>> | undefined;
  readonly notices?: readonly string[] | undefined;
};

/** @throws FleetError `INVALID_SETTINGS` */
export function resolveSettings({ logLevels = {}, notices = [], ...given }: SettingsInput): Settings {
  const levels = new Map(
    COMPONENTS.flatMap((component) =>
      logLevels[component] === undefined ? [] : [[component, { variable: levelVariable(component), level: logLevels[component] }]],
    ),
  );
  return check(given, { levels, unused: [], notices }, true);
}

interface LevelsAndNotices {
  readonly levels: ReadonlyMap<Component, GivenLevel>;
  /** Levels that are validated and not used. */
  readonly unused: readonly GivenLevel[];
  readonly notices: readonly string[];
}

function check(given: Partial<Record<keyof Table, unknown>>, { levels, unused, notices }: LevelsAndNotices, inCode: boolean): Settings {
  const problems = new Set<string>();
  const newNotices = [...notices];
  const read = (setting: Setting<unknown>, env: string, value: unknown): unknown => {
    if (value === undefined) return setting.fallback;
    const parsed = setting.schema.safeParse(value);
    if (parsed.success) {
      const notice = setting.notice?.(value);
      if (notice) newNotices.push(notice);
      return Array.isArray(parsed.data) ? Object.freeze(parsed.data) : parsed.data;
    }
    const expected = (inCode ? setting.expectedInCode : undefined) ?? setting.expected;
    problems.add(
      `${env}: ${setting.explain?.(value) ?? `expected ${expected}, got ${setting.secret ? 'something else (not shown)' : shown(value)}`}`,
    );
    return setting.fallback;
  };
  const values: Record<string, unknown> = {};
  for (const [name, setting] of entries()) values[name] = read(setting, setting.env, given[name]);
  const ofComponent = { ...logLevel, fallback: values['logLevel'] };
  const levelOf = (component: Component): unknown => read(ofComponent, levels.get(component)?.variable ?? '', levels.get(component)?.level);
  values['logLevels'] = Object.freeze(Object.fromEntries(COMPONENTS.map((component) => [component, levelOf(component)])));
  for (const { variable, level } of unused) read(logLevel, variable, level);
  const settings = values as unknown as Settings;
  // Conflicts are checked only between settings that are valid themselves.
  if (problems.size === 0) for (const problem of problemsOfRedis(settings)) problems.add(problem);
  for (const problem of [...problemsOfWorker(settings), ...problemsOfOpenai(settings)]) problems.add(problem);
  if (problems.size > 0) {
    const all = [...problems];
    throw new FleetError('INVALID_SETTINGS', `Bad settings:\n${all.map((problem) => `  ${problem}`).join('\n')}`, {
      details: { problems: all },
    });
  }
  if (settings.openaiKeys.length > 0 && settings.openaiBaseUrls.length === 0) newNotices.push(UNUSED_KEYS);
  values['notices'] = Object.freeze([...new Set(newNotices)]);
  return Object.freeze(settings);
}

function problemsOfOpenai({ openaiKeys: { length: keys }, openaiBaseUrls: { length: urls } }: Settings): string[] {
  // More keys than URLs means that they no longer correspond. Without URLs the keys are unused.
  const tooMany = urls > 0 && keys > urls;
  return tooMany ? [`OPENAI_API_KEYS: expected at most one key for each of OPENAI_API_BASE_URLS (${urls}), got ${keys}`] : [];
}

/** Returns the names of all environment variables that are read. */
export function settingVariables(): ReadonlySet<string> {
  const own = Object.values<Setting<unknown>>(SETTINGS).flatMap(({ env, alias }) => (alias === undefined ? [env] : [env, alias]));
  return new Set([...own, ...COMPONENTS.map(levelVariable), ...Object.keys(OPEN_WEBUI_LEVELS)]);
}

/** Describes a value for a message; embedding code may pass values that JSON cannot represent. */
function shown(value: unknown): string {
  try {
    return JSON.stringify(value) ?? describeValue(value);
  } catch {
    return describeValue(value);
  }
}

function entries(): [keyof Table, Setting<unknown>][] {
  return Object.entries(SETTINGS) as [keyof Table, Setting<unknown>][];
}

/** Redacts the password of a Redis URL, and its query, from which ioredis reads options. */
export function redactUrl(url: string): string {
  const parsed = new URL(url);
  if (parsed.password) parsed.password = '***';
  if (parsed.search) parsed.search = '***';
  return parsed.toString();
}
