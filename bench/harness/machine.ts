import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { BUSY } from './quiet.js';

/** The conditions of a run. */
export const machineSchema = z.object({
  taskfleet: z.string(),
  cpu: z.string(),
  cores: z.number(),
  memoryGb: z.number(),
  os: z.string(),
  node: z.string(),
  redis: z.string(),
  /** The load average of the last minute at the start. */
  load: z.number(),
});
export type Machine = z.infer<typeof machineSchema>;

const PACKAGE = new URL('../../package.json', import.meta.url);

export async function describeMachine(redis: Redis): Promise<Machine> {
  const [load = 0] = loadavg();
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(await readFile(PACKAGE, 'utf8')));
  return {
    taskfleet: version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    os: `${type()} ${release()}`,
    node: process.version,
    redis: /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? 'unknown',
    load: Math.round(load * 100) / 100,
  };
}

/** Describes a machine in one line, and warns in another if it was busy. */
export function machineLines({ taskfleet, cpu, cores, memoryGb, os, node, redis, load }: Machine): string[] {
  const words = `taskfleet ${taskfleet}, ${cores} × ${cpu}, ${memoryGb} GB, ${os}, Node ${node}, Redis ${redis} on loopback, load ${load.toFixed(2)}`;
  const warning = `Warning: the load was ${load.toFixed(2)} at the start, so other processes share the cores. Repeat the run on a quiet machine.`;
  return load >= BUSY ? [words, warning] : [words];
}

/** Returns what differs between two machines, as far as it can change ratios. */
export function differences(base: Machine, now: Machine): string[] {
  return (['cpu', 'cores', 'node', 'redis'] as const)
    .filter((field) => base[field] !== now[field])
    .map((field) => `${field} ${base[field]} then, ${now[field]} now`);
}
