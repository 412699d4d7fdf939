/** The benchmark itself, started by bench/peers/main.ts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestRedis } from '../../../test/support/redis/test-redis.js';
import { untilQuiet } from '../../harness/quiet.js';
import { loadPeer } from '../compared/catalog.js';
import { parseOptions } from '../options.js';
import { writeReport } from '../report/write.js';
import { describeMachine } from '../servers/machine.js';
import { Postgres } from '../servers/postgres.js';
import { serverCpuUs } from '../servers/process-cpu.js';
import { type ServerControl, runRounds } from './rounds.js';

const options = parseOptions(process.argv.slice(2));
if (options === null) throw new Error('start the benchmark by `npm run bench:peers`');

const started = performance.now();
const INTERRUPTED = 130;

const say = (line: string): void => console.error(line);
const modules = await Promise.all(options.peers.map(loadPeer));
const needs = (server: 'Redis' | 'PostgreSQL'): boolean => modules.some(({ info }) => info.server === server);
const folder = mkdtempSync(join(tmpdir(), 'taskfleet-bench-peers-'));
const redis = needs('Redis') ? await startTestRedis({ appendonly: 'yes', config: ['maxmemory-policy noeviction'] }) : null;
let postgres: Postgres | null = null;
const interrupted = new AbortController();
// Ends at once; the connections of the peers break off, and their workers end with this process.
for (const event of ['SIGINT', 'SIGTERM', 'disconnect'])
  process.once(event, () => {
    interrupted.abort(new Error('interrupted'));
    void end().finally(() => process.exit(INTERRUPTED));
  });
process.on('uncaughtException', (error) => {
  say(`Uncaught exception; ending the run: ${error.stack ?? error.message}`);
  void end().finally(() => process.exit(1));
});
try {
  postgres = needs('PostgreSQL') ? await Postgres.start() : null;
  const admin = redis?.client();
  const redisVersion = /redis_version:(\S+)/.exec((await admin?.info('server')) ?? '')?.[1];
  if (options.write) await untilQuiet(say);
  const machine = describeMachine(
    [...(redis ? [`Redis ${redisVersion}`] : []), ...(postgres ? [`PostgreSQL ${postgres.version}`] : [])],
    modules.flatMap(({ info }) => info.packages),
  );
  say(`${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(2)}; Node.js ${machine.node}; ${machine.servers.join('; ')}`);
  const control: ServerControl = {
    cpuUs: (server) => serverCpuUs(server === 'Redis' ? (redis?.pid ?? 0) : (postgres?.pid ?? 0)),
    empty: async (server) => {
      if (server === 'Redis') await admin?.flushall();
      return { redisUrl: redis?.url ?? '', postgresUrl: server === 'PostgreSQL' ? ((await postgres?.freshDatabase()) ?? '') : '' };
    },
  };
  const result = await runRounds(modules, control, options, { folder, signal: interrupted.signal, say });
  const minutes = (performance.now() - started) / 60_000;
  await writeReport({ machine, result, minutes, infos: modules.map(({ info }) => info) }, options.write);
  if (result.failures.length > 0) process.exitCode = 1;
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = interrupted.signal.aborted ? INTERRUPTED : 1;
} finally {
  await end();
}
process.exit();

async function end(): Promise<void> {
  await Promise.all([redis?.stop(), postgres?.stop()]);
  rmSync(folder, { recursive: true, force: true });
}
