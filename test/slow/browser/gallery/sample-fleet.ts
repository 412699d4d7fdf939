import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { type TaskDefinition, defineTask } from '../../../../shared/task/definition.js';
import { defineHandler } from '../../../../shared/task/handler.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';
import { type BuiltDashboard, serveBuilt } from '../support/built-dashboard.js';
import { writePast } from './past.js';

const ERRORS: readonly (() => Error)[] = [
  () => Object.assign(new Error('mail-1.example.com: connection refused'), { code: 'ECONNREFUSED' }),
  () =>
    new AggregateError(
      [new Error('mail-1: connection refused'), new Error('mail-2: no answer within 5 s')],
      'No mail server accepted the invoice',
    ),
  () => Object.assign(new Error(`The mailbox of customer ${Math.ceil(Math.random() * 9_000)} is full`), { code: 'E_MAILBOX' }),
];
const step = z.object({ does: z.enum(['completes', 'fails', 'runs']), ms: z.number() }).partial();
type Step = z.output<typeof step>;

/** A fleet with tasks of all states, queues, workers, schedules, limits and audit records, for the screenshots of all pages. */
export interface SampleFleet {
  readonly producer: Producer;
  readonly dashboard: BuiltDashboard;
  readonly fleet: TestFleet;
  /** The page of each kind, relative to the dashboard's URL. */
  readonly pages: readonly (readonly [name: string, path: string])[];
  stop(): Promise<void>;
}

/** Starts the fleet. Its tasks run until it is stopped. */
export async function startSampleFleet(): Promise<SampleFleet> {
  const fleet = await TestFleet.onOneServer();
  const prefix = fleet.newPrefix();
  const over = new AbortController();
  const retry = { attempts: 3, backoff: { type: 'fixed', delayMs: 100, jitter: 0 } } as const;
  const define = (name: string, queue: string, options: Partial<Parameters<typeof defineTask>[0]> = {}): TaskDefinition<Step> =>
    defineTask({ name, queue, input: step, retention: KEEP, ...options }) as TaskDefinition<Step>;
  const chat = define('chat.reply', 'chat', { tags: ['model:small'] });
  const embed = define('document.embed', 'documents', { concurrency: { limit: 1, by: 'item' } });
  const report = define('report.render', 'reports');
  const invoice = define('invoice.send', 'invoices', { retry });
  const backoff = define('mail.sync', 'invoices', { retry: { attempts: 5, backoff: { type: 'fixed', delayMs: 600_000, jitter: 0 } } });
  const handlers = [chat, embed, report, invoice, backoff].map((definition) =>
    defineHandler(definition, async ({ input, progress, log, emit }) => {
      log.info({ step: input.does ?? 'runs' }, 'Started');
      if (input.does === 'fails') throw ERRORS[Math.floor(Math.random() * ERRORS.length)]?.() ?? new Error('unknown');
      if (input.does === 'runs') {
        progress({ done: Math.ceil(Math.random() * 200), total: 240 });
        emit('Call me Ishmael. ');
        await setTimeout(3_600_000, undefined, { signal: over.signal }).catch(() => undefined);
      } else await setTimeout(input.ms ?? 5);
      return { pages: 12, url: 'https://files.example.com/report.pdf', totals: { net: 1_204.5, gross: 1_433.35 } };
    }),
  );
  const options = { stopGraceMs: 3_600_000, heartbeatMs: 5_000, host: process };
  await fleet.worker(prefix, handlers, { ...options, concurrency: 6, pid: 4_711 });
  await fleet.worker(prefix, handlers, { ...options, concurrency: 6, pid: 4_712 });
  // One with an older version of a task, and one that died.
  const older = defineHandler(define('report.render', 'reports', { timeoutMs: 60_000 }), () => null);
  await fleet.worker(prefix, [older], { ...options, concurrency: 2, pid: 4_713, workerQueues: ['reports', 'maintenance'] });
  const dead = await fleet.worker(prefix, [], { ...options, pid: 4_709 });
  await dead.stop({ failed: true });
  await fleet.client.hset(createKeys(prefix).lastWorker(dead.id), {
    ...{ line: "Uncaught exception; shutting down: Cannot read properties of undefined (reading 'rows')", line_level: 'fatal' },
    running: JSON.stringify(['reply-7f2e', 'reply-7f2f']),
  });
  const producer = fleet.producer({ keyPrefix: prefix });
  const dashboard = await serveBuilt(fleet.redis.url, prefix);
  await writePast(fleet.client, createKeys(prefix), Date.now());

  const failing = await Promise.all(
    Array.from({ length: 26 }, (_, index) =>
      producer.enqueue(
        invoice,
        { does: 'fails' },
        { id: `invoice-${1_040 + index}`, item: `customer:${index % 6}`, tags: [`tenant:${index % 3}`] },
      ),
    ),
  );
  const completed = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      producer.enqueue(
        index % 2 === 0 ? chat : report,
        { does: 'completes', ms: 20 + index },
        { id: `done-${index}`, item: `chat:${index % 4}`, tags: [`tenant:${index % 3}`] },
      ),
    ),
  );
  await Promise.all([...failing, ...completed].map(({ id }) => producer.waitUntilFinished(id)));
  await producer.queues.pause('reports', { reason: 'the printer is on fire', by: 'olga' });
  for (const [definition, id, item] of [
    [chat, 'reply-7f31', 'chat:onboarding'],
    [chat, 'reply-7f32', 'chat:onboarding'],
    [chat, 'reply-80aa', 'chat:release-notes'],
    [embed, 'index-handbook', 'doc:handbook'],
    [embed, 'index-contracts', 'doc:contracts'],
  ] as const)
    await producer.enqueue(definition, { does: 'runs' }, { id, item, tags: ['tenant:1'] });
  for (let index = 0; index < 9; index += 1)
    await producer.enqueue(embed, { does: 'runs' }, { id: `index-${index}`, item: 'doc:handbook' });
  for (let index = 0; index < 7; index += 1)
    await producer.enqueue(report, {}, { id: `report-2026-${index}`, item: 'team:finance', tags: ['tenant:2'] });
  for (let index = 0; index < 5; index += 1)
    await producer.enqueue(chat, {}, { id: `later-${index}`, item: 'chat:later', delay: 90_000 * (index + 1) });
  for (let index = 0; index < 3; index += 1)
    await producer.enqueue(backoff, { does: 'fails' }, { id: `sync-${index}`, item: `customer:${index}` });
  await until(
    () => producer.list({ state: 'running' }),
    ({ tasks }) => tasks.length >= 5,
  );
  await until(
    () => producer.list({ state: 'retrying' }),
    ({ tasks }) => tasks.length === 3,
  );
  await producer.stop('reply-7f32', { reason: 'changed my mind', by: 'olga' });
  await producer.stop('later-4', { reason: 'duplicate', by: 'ada' });
  await producer.limits.set('document.embed', 'doc:handbook', 1);
  await producer.schedules.upsert('reports.nightly', report, {}, { cron: '0 3 * * *', timeZone: 'Europe/Berlin', item: 'team:finance' });
  await producer.schedules.upsert('mail.sync', invoice, { does: 'fails' }, { every: 900_000 });
  const workers = await producer.workers.list();
  await producer.workers.drain(workers[1]?.id ?? '', { reason: 'new kernel', by: 'ada' });
  await writeAudit(dashboard);
  await fleet.client.hset(createKeys(prefix).taskQueues, 'odd-1', 'chat');
  return {
    ...{ producer, dashboard, fleet },
    pages: [
      ...(['overview', 'tasks', 'queues', 'workers', 'schedules', 'limits', 'audit'] as const).map(
        (name) => [name, name === 'overview' ? '' : name] as const,
      ),
      ['tasks-failed', 'tasks?state=failed'],
      ['task-running', 'tasks/index-handbook'],
      ['task-failed', 'tasks/invoice-1042'],
      ['not-found', 'board/no/such/page'],
    ],
    stop: async () => {
      over.abort();
      await dashboard.close();
      await fleet.stop();
    },
  };
}

/** Acts through the API, as an operator and as a viewer who may not. */
async function writeAudit({ url, tokens }: BuiltDashboard): Promise<void> {
  const post = (path: string, token: string, body: object = {}): Promise<Response> =>
    fetch(`${url}api/v1/${path}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  await post('schedules/mail.sync/run', tokens.operator);
  for (const id of ['invoice-1040', 'invoice-1041']) await post(`tasks/${id}/retry`, tokens.operator);
  await post('tasks/reply-80aa/stop', tokens.viewer, { reason: 'looks stuck' });
  await post('tasks/later-3/stop', tokens.operator, { reason: 'sent twice' });
  await post('tasks', tokens.operator, { name: 'fleet.canary', item: 'probe' });
}
