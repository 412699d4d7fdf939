import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import type { Environment, Settings } from '../../shared/settings/settings.js';
import { atMost } from '../../shared/time.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';

/** The telemetry of a process of the command. */
export interface ProcessTelemetry {
  /** Undefined if it is off. */
  readonly telemetry: Telemetry | undefined;
  /** Exports what is left, for at most this time in ms. Never rejects. */
  readonly flush: (limitMs: number) => Promise<void>;
}

interface TelemetryOptions {
  readonly env: Environment;
  /** Where packages are looked for, besides the place of this package. */
  readonly cwd: string;
  /** The name of the service, unless the environment has one. */
  readonly service: string;
  readonly settings: Pick<Settings, 'telemetryPropagation'>;
  readonly logger: Logger;
}

/** The part of `@opentelemetry/sdk-node` in use: it reads the `OTEL_` variables. */
interface SdkModule {
  readonly NodeSDK: new (options: { serviceName?: string; metricReaders?: []; logRecordProcessors?: [] }) => Sdk;
}

interface Sdk {
  start(): void;
  shutdown(): Promise<void>;
}

const OFF: ProcessTelemetry = { telemetry: undefined, flush: () => Promise.resolve() };
const ENDPOINTS = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'] as const;
const EXPORTERS = ['OTEL_TRACES_EXPORTER', 'OTEL_METRICS_EXPORTER'] as const;
const INSTALL = 'npm install @opentelemetry/api @opentelemetry/sdk-node';
/** Where `@opentelemetry/api` keeps what an SDK registers. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');
/** How often a problem of the SDK is logged, in ms. */
const REPEAT_LOG_MS = 60_000;
const MAX_PROBLEM_LENGTH = 500;

/**
 * Starts OpenTelemetry if the environment asks for it, with the SDK that the program's installation has. Uses an SDK that was started before,
 * as by `NODE_OPTIONS='--import ./tracing.js'`. Without the packages, warns and continues: a platform may set the variables for every process.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<ProcessTelemetry> {
  const { env, cwd, settings, logger } = options;
  const isStarted = hasSdk();
  const wanted = wantedBy(env);
  if (wanted === null && !(isStarted && !isDisabled(env))) return OFF;
  try {
    const sdk = isStarted ? null : await startSdk(options);
    // Loaded late: it imports an optional package.
    const { openTelemetry } = await import('../../telemetry/index.js');
    logger.info(isStarted ? {} : { variable: wanted }, 'OpenTelemetry is on');
    return {
      telemetry: openTelemetry({ propagation: settings.telemetryPropagation }),
      flush: async (limitMs) => {
        await atMost(
          limitMs,
          Promise.resolve(sdk?.shutdown()).catch((error: unknown) => logger.debug({ error }, 'Could not flush spans')),
        );
      },
    };
  } catch (error) {
    if (isMissing(error))
      logger.warn(
        { variable: wanted, cwd },
        `${wanted} is set, but OpenTelemetry is not installed; continuing without it. Run: ${INSTALL}`,
      );
    else logger.warn({ variable: wanted, error }, 'Could not start OpenTelemetry; continuing without it');
    return OFF;
  }
}

/** Returns the variable that turns telemetry on; null for none. */
function wantedBy(env: Environment): string | null {
  if (isDisabled(env)) return null;
  const isNone = (name: string): boolean => env[name]?.trim() === 'none';
  if (EXPORTERS.every(isNone)) return null;
  return [...ENDPOINTS, ...EXPORTERS.filter((name) => !isNone(name))].find((name) => env[name]) ?? null;
}

function isDisabled(env: Environment): boolean {
  return env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true';
}

function hasSdk(): boolean {
  const registered = (globalThis as Readonly<Record<symbol, unknown>>)[REGISTERED];
  return typeof registered === 'object' && registered !== null && ('trace' in registered || 'metrics' in registered);
}

async function startSdk({ env, cwd, service, logger }: TelemetryOptions): Promise<Sdk> {
  const { NodeSDK } = (await load('@opentelemetry/sdk-node', cwd)) as SdkModule;
  // Without an endpoint, the SDK would send what has no exporter of its own to this machine.
  const isLocal = !ENDPOINTS.some((name) => env[name]);
  const sdk = new NodeSDK({
    ...(!isNamed(env) && { serviceName: service }),
    ...(isLocal && !env['OTEL_METRICS_EXPORTER'] && { metricReaders: [] }),
    ...(isLocal && !env['OTEL_LOGS_EXPORTER'] && { logRecordProcessors: [] }),
  });
  if (!env['OTEL_LOG_LEVEL']) await logProblems(logger, cwd);
  sdk.start();
  return sdk;
}

function isNamed(env: Environment): boolean {
  return Boolean(env['OTEL_SERVICE_NAME']) || /(?:^|,)\s*service\.name\s*=/.test(env['OTEL_RESOURCE_ATTRIBUTES'] ?? '');
}

/** Logs what the SDK reports, such as an endpoint that does not answer. */
async function logProblems(logger: Logger, cwd: string): Promise<void> {
  const { diag, DiagLogLevel } = (await load('@opentelemetry/api', cwd)) as typeof import('@opentelemetry/api');
  const lines = new RepeatedLines(logger, { intervalMs: REPEAT_LOG_MS });
  const warn = (...words: unknown[]): void => {
    const problem = words.map((word) => (typeof word === 'string' ? word : messageOf(word))).join(' ');
    lines.warn('problem', { problem: problem.slice(0, MAX_PROBLEM_LENGTH) }, 'OpenTelemetry reports a problem; tasks are not affected');
  };
  const ignore = (): void => undefined;
  diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, { logLevel: DiagLogLevel.WARN });
}

/** Imports an optional package from where this one is installed, or else from the working directory. */
async function load(name: string, cwd: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return import(pathToFileURL(createRequire(join(cwd, 'package.json')).resolve(name)).href);
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
