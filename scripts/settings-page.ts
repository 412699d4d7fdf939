import type { Setting } from '../shared/settings/kinds.js';
import { COMPONENTS, levelVariable } from '../shared/settings/log-levels.js';
import { SETTINGS } from '../shared/settings/settings.js';

/** The sections of the page. Each variable matches exactly one pattern; the test of the page holds that. */
const SECTIONS: readonly (readonly [heading: string, pattern: RegExp])[] = [
  ['Redis', /^(?:REDIS|EMBEDDED_REDIS)_|_REPLICAS/],
  [
    'Tasks and workers',
    /^(?:WORKER|THREAD|TASK|STOP_(?!WAIT)|SHUTDOWN|LOCK|STALLED|FETCH|HEARTBEAT|RECONCILE|ENQUEUE_GRACE|MAX|EVENT_LOOP)_?.*(?<!LOG_LEVEL)$/,
  ],
  ['Built-in tasks', /^(?:BUILTIN|OPENAI|CHAT|DOCUMENT|MODELS|AIOHTTP|USAGE|SESSION)_|^WEBSOCKET_REDIS_LOCK/],
  ['Dashboard', /^API_/],
  ['open-webui', /^OPEN_WEBUI$|^WEBSOCKET_(?:REDIS_URL|REDIS_CLUSTER|SENTINEL)/],
  ['OpenTelemetry', /^TELEMETRY_/],
  ['Logs', /_LOG_LEVEL$/],
];

/** Text below the table of a section. */
const NOTES: Readonly<Record<string, string>> = {
  OpenTelemetry:
    'The variables of OpenTelemetry itself turn it on and choose its exporters: [Tracing](../guides/tracing.md#the-command).\n',
};

/** Cells that the schema cannot tell: a default of the machine, a range whose excess is capped. */
const SPECIAL: Readonly<Record<string, { readonly fallback: string; readonly values: string }>> = {
  WORKER_QUEUES: {
    fallback: 'all queues',
    values: 'queue names separated by commas; `*` for any text, `!` for exclusions: `chat,report-*,!maintenance`',
  },
  BUILTIN_TASKS: {
    fallback: '`on`',
    values: '`on`, `off`, or task names as for `WORKER_QUEUES`: `chat.*,fleet.canary`',
  },
  THREAD_POOL_SIZE: { fallback: 'number of cores', values: '0–256; more count as 256' },
};

const INTRO = `# Settings

Every process reads its settings from the environment; an empty variable counts as absent. All problems are reported at once, with exit
code 78. In code, the same settings are options of \`createProducer\` and \`createWorker\`, with all times in milliseconds:
\`{ redisUrl, keyPrefix, concurrency, … }\`.

This page is generated from the schema: run \`npm run docs:settings\` after a change.
`;

/** Returns docs/reference/settings.md as the schema in shared/ describes it. */
export function settingsPage(): string {
  const settings = Object.values<Setting<unknown>>(SETTINGS);
  const sections = SECTIONS.map(([heading, pattern]) => {
    const rows = settings.filter(({ env }) => pattern.test(env)).map(rowOf);
    const note = NOTES[heading] === undefined ? [] : [NOTES[heading]];
    return [`## ${heading}`, '', '| variable | default | values | meaning |', '|---|---|---|---|', ...rows, '', ...note].join('\n');
  });
  return [INTRO, ...sections, logLevels()].join('\n');
}

function rowOf(setting: Setting<unknown>): string {
  const { env, alias, about } = setting;
  const meaning = alias === undefined ? about : `${about} Alias: \`${alias}\`.`;
  return `| \`${env}\` | ${defaultOf(setting)} | ${valuesOf(setting)} | ${meaning} |`.replaceAll(/(?<=\w)\|(?=\w)/g, '\\|');
}

function defaultOf({ env, expected, fallback }: Setting<unknown>): string {
  const special = SPECIAL[env]?.fallback;
  if (special !== undefined) return special;
  if (fallback === null) return '–';
  const text = isSeconds(expected) ? `${Number(fallback) / 1_000}` : (fallback as { toString(): string }).toString();
  return text === '' ? '–' : `\`${text}\``;
}

/** A range with its unit where the schema has one, else what the schema expects in words. */
function valuesOf({ env, expected }: Setting<unknown>): string {
  const special = SPECIAL[env]?.values;
  if (special !== undefined) return special;
  const [, zero = '', min, max] = /^(0 or )?(?:a whole number|(?:milli)?seconds, a number) from (\S+) to (\S+)$/.exec(expected) ?? [];
  if (min === undefined || max === undefined) return expected;
  const range = `${zero}${grouped(min)}–${grouped(max)}`;
  if (isSeconds(expected)) return `${range} s`;
  if (expected.includes('milliseconds') || env.endsWith('_MS')) return `${range} ms`;
  return /_BYTES$|_BODY_LIMIT$/.test(env) ? `${range} bytes` : range;
}

function isSeconds(expected: string): boolean {
  return /^(?:0 or )?seconds\b/.test(expected);
}

function grouped(digits: string): string {
  return Number(digits) < 10_000 || digits.includes('.') ? digits : Number(digits).toLocaleString('en-US');
}

function logLevels(): string {
  const variables = COMPONENTS.map((component) => `\`${levelVariable(component)}\``);
  const rows = Array.from({ length: Math.ceil(variables.length / 4) }, (_, row) => variables.slice(row * 4, row * 4 + 4).join(', '));
  return `Each component has its own variable, and the log levels of open-webui work too
([Beside open-webui](../guides/beside-open-webui.md#log-levels)):
${rows.join(',\n')}.
`;
}
