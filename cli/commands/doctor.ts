import type { Command } from 'commander';
import type { ReconcileRecord } from '../../shared/records/reconcile.js';
import { type ApiAddress, apiOf } from '../client/api-address.js';
import { withClient } from '../client/open.js';
import { checkCanary } from '../doctor/canary.js';
import type { Check } from '../doctor/check.js';
import type { DoctorReport } from '../doctor/examine.js';
import { topologyToJson } from '../doctor/topology-report.js';
import type { WorkerInfo } from '../doctor/worker-checks.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { interruptible } from '../process.js';
import { paintOf } from '../text/colour.js';
import { printData, printJson, printLine, printable } from '../text/output.js';

interface DoctorFlags extends GlobalOptions {
  readonly canary?: true;
}

const UNHEALTHY = 1;

export function defineDoctor(doctor: Command, io: Io): void {
  doctor
    .option('--canary', 'also enqueue and stop a test task, and time both')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet doctor
  taskfleet doctor --canary
  taskfleet doctor -o json | jq '.checks[] | select(.level != "ok")'

Exit codes: 0 no failures (warnings are possible), 1 a check failed, 69 Redis or the API is unreachable.
Over the API some checks are not possible, and the output lists them; --canary needs the operator role.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      io.exitCode = await examine(io, command.optsWithGlobals<DoctorFlags>());
    });
}

async function examine(io: Io, flags: DoctorFlags): Promise<number> {
  const json = flags.output === 'json';
  const api = apiOf(io, flags);
  if (api && !json) printData(io, `API at ${api.url}`);
  const { checks, workers, reconcile, topology } = await (api ? overApi(api) : overRedis(io, flags));
  if (!json) for (const check of checks) print(io, check);
  const canary = flags.canary
    ? await withClient(io, flags, (client) => interruptible(io, canaryStopped, (signal) => checkCanary(client, signal)))
    : [];
  if (!json) for (const check of canary) print(io, check);
  const all = [...checks, ...canary];
  const failed = all.some(({ level }) => level === 'fail');
  if (json)
    printJson(io, {
      ok: !failed,
      topology: topology && topologyToJson(topology),
      checks: all,
      workers: workers.map(workerToJson),
      reconcile: reconcile && reconcileToJson(reconcile),
    });
  return failed ? UNHEALTHY : 0;
}

/** Imported lazily: the checks would dominate the start-up of other commands. */
async function overRedis(io: Io, flags: DoctorFlags): Promise<DoctorReport> {
  const { examineRedis } = await import('../doctor/examine.js');
  return examineRedis(io, flags, (line) => flags.output !== 'json' && printData(io, line));
}

async function overApi(api: ApiAddress): Promise<DoctorReport> {
  const [{ checkApi }, { ApiConnection }] = await Promise.all([import('../doctor/api-checks.js'), import('../client/http-connection.js')]);
  return { ...(await checkApi(new ApiConnection(api))), topology: null };
}

function canaryStopped(): string {
  return 'Interrupted; the canary was stopped.';
}

const TONES = { ok: 'good', warn: 'warning', fail: 'bad' } as const;

function print(io: Io, { name, level, message, advice }: Check): void {
  const text = printable(`${name.padEnd(13)} ${message}${advice === null ? '' : `\n${' '.repeat(6)}→ ${advice}`}`);
  printLine(io, `${paintOf(io, io.stdout)(TONES[level], level.padEnd(5))} ${text}`);
}

function workerToJson({ stops, upMs: _, beatAgeMs, clockMs, ...worker }: WorkerInfo): Record<string, unknown> {
  const { count, p50Ms, p99Ms, maxMs } = stops;
  return { ...worker, stops: { count, p50_ms: p50Ms, p99_ms: p99Ms, max_ms: maxMs }, beat_age_ms: beatAgeMs, clock_ms: clockMs };
}

function reconcileToJson({ tookMs, ...run }: ReconcileRecord): Record<string, unknown> {
  return { ...run, took_ms: tookMs };
}
