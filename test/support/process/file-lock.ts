import { randomUUID } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess } from '../../../shared/embedded-redis/process-identity.js';

const POLL_MS = 100;

/**
 * Runs `work` while no other process holds the lock. Callers get it in the order of their calls, or one of many could wait beyond the
 * time limit of its test. A dead process counts for nothing, also if its pid is another's by now.
 */
export async function withLock<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  await mkdir(dirname(path), { recursive: true });
  await queueFor(path);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function queueFor(path: string): Promise<void> {
  const ticket = `${path}.${String(Date.now()).padStart(15, '0')}.${await nameOf(process.pid)}.${randomUUID()}`;
  await writeFile(ticket, '');
  try {
    while (!(await isNext(path, ticket)) || !(await takeLock(path))) await delay(POLL_MS);
  } finally {
    await rm(ticket, { force: true });
  }
}

/** Whether no living process has drawn an earlier ticket. */
async function isNext(path: string, ticket: string): Promise<boolean> {
  const [folder, prefix] = [dirname(path), `${basename(path)}.`];
  for (const name of (await readdir(folder)).filter((one) => one.startsWith(prefix)).toSorted()) {
    if (name === basename(ticket)) return true;
    if (await isRunning(name.slice(prefix.length).split('.')[1] ?? '')) return false;
    await rm(join(folder, name), { force: true });
  }
  return true;
}

/** Two processes may both take the lock of a dead one. */
async function takeLock(path: string): Promise<boolean> {
  try {
    await writeFile(path, await nameOf(process.pid), { flag: 'wx' });
    return true;
  } catch {
    const holder = await readFile(path, 'utf8').catch(() => '');
    if (holder !== '' && !(await isRunning(holder))) await rm(path, { force: true });
    return false;
  }
}

/** Returns the pid and the start of a process, as a word for a file name; an empty text if it has ended. */
async function nameOf(pid: number): Promise<string> {
  const identity = await identifyProcess(pid);
  return identity ? `${pid}-${identity.started.replaceAll(/\W/g, '')}` : '';
}

async function isRunning(name: string): Promise<boolean> {
  return name !== '' && (await nameOf(Number(name.split('-')[0]))) === name;
}
