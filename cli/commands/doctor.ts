import type { Command } from 'commander';
import { createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { connect, ready } from '../../shared/redis/connect.js';
import { redactUrl } from '../../shared/settings.js';
import { apiOf } from '../api/address.js';
import { ApiConnection } from '../api/connection.js';
import { clientSettings, withClient } from '../connection.js';
import { checkCanary } from '../doctor/canary.js';
import { checkApi } from '../doctor/api-checks.js';
import type { Check } from '../doctor/check.js';
import { type FleetReport, type WorkerInfo, checkFleet } from '../doctor/fleet-checks.js';
import type { ReconcileInfo } from '../doctor/reconciler-check.js';
import { checkRedis } from '../doctor/redis-checks.js';
import type { GlobalOptions } from '../global-options.js';
import { printData, printJson } from '../output.js';
import { interruptible } from '../signals.js';

interface DoctorFlags extends GlobalOptions {
  readonly canary?: true;
}

const EXAMPLES = `
Examples:
  taskfleet doctor
  taskfleet doctor --canary
  taskfleet doctor -o json | jq '.checks[] | select(.level != "ok")'

Exit codes: 0 all ok or warnings only, 1 something fails, 69 Redis or the API cannot be reached. Over the
API it says what it cannot look at from there; --canary needs the role operator.`;

const UNHEALTHY = 1;

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('look at Redis and the fleet: what is wrong, and what to do about it')
    .option('--canary', 'also send a task through the fleet and stop it, and time both')
    .addHelpText('after', EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      process.exitCode = await examine(command.optsWithGlobals<DoctorFlags>());
    });
}

async function examine(flags: DoctorFlags): Promise<number> {
  const json = flags.output === 'json';
  const api = apiOf(flags);
  if (api && !json) printData(`API at ${api.url}`);
  const { checks, workers, reconcile } = api ? await checkApi(new ApiConnection(api)) : await look(flags);
  if (!json) checks.forEach(print);
  const canary = flags.canary ? await withClient(flags, (client) => interruptible(canaryGone, (signal) => checkCanary(client, signal))) : [];
  if (!json) canary.forEach(print);
  const all = [...checks, ...canary];
  const failed = all.some(({ level }) => level === 'fail');
  if (json) printJson({ ok: !failed, checks: all, workers: workers.map(workerToJson), reconcile: reconcile && reconcileToJson(reconcile) });
  return failed ? UNHEALTHY : 0;
}

function canaryGone(): string {
  return 'Interrupted; the canary is stopped.';
}

async function look(flags: DoctorFlags): Promise<FleetReport> {
  const settings = await clientSettings(flags);
  if (flags.output !== 'json') printData(`Redis at ${redactUrl(settings.redisUrl)}, keys ${settings.keyPrefix}:*`);
  const logger = createLoggerFactory({ settings, pretty: process.stderr.isTTY })('cli');
  const redis = connect({ settings, policy: 'fail-fast', logger, name: 'taskfleet:doctor' });
  try {
    await ready(redis, settings.connectTimeoutMs);
    const checks = await checkRedis(redis);
    const fleet = await checkFleet(redis, createKeys(settings.keyPrefix));
    return { ...fleet, checks: [...checks, ...fleet.checks] };
  } finally {
    redis.disconnect();
  }
}

function print({ name, level, message, advice }: Check): void {
  printData(`${level.padEnd(5)} ${name.padEnd(13)} ${message}${advice === null ? '' : `\n${' '.repeat(6)}→ ${advice}`}`);
}

function workerToJson({ stops, upMs: _, beatAgeMs, ...worker }: WorkerInfo): Record<string, unknown> {
  const { count, p50Ms, p99Ms, maxMs } = stops;
  return { ...worker, stops: { count, p50_ms: p50Ms, p99_ms: p99Ms, max_ms: maxMs }, beat_age_ms: beatAgeMs };
}

function reconcileToJson({ tookMs, ...run }: ReconcileInfo): Record<string, unknown> {
  return { ...run, took_ms: tookMs };
}
