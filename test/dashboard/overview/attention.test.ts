import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mostSevere } from '../../../dashboard/overview/attention/attention.js';
import { type FleetFacts, type WorkerFacts, fleetAttention } from '../../../dashboard/overview/attention/fleet-attention.js';
import { type QueueFacts, queueAttention } from '../../../dashboard/overview/attention/queue-attention.js';
import { type TaskFacts, type UsualTimes, taskAttention } from '../../../dashboard/overview/attention/task-attention.js';

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE_MS = 60_000;
const ago = (ms: number): Date => new Date(NOW - ms);

function aWorker(given: Partial<WorkerFacts> = {}): WorkerFacts {
  return {
    ...{ id: 'w1', alive: true, host: 'alpha', pid: 7, subscribed: true, broken: [] },
    ...{ startedAt: ago(10 * MINUTE_MS), beatAt: ago(1_000), problem: null },
    ...given,
  };
}

function aQueue(given: Partial<QueueFacts> = {}): QueueFacts {
  return {
    ...{
      name: 'chat',
      builtIn: false,
      paused: null,
      counts: { queued: 0, inLine: 0, scheduled: 0 },
      oldestWaitMs: null,
      oldestWaitTask: null,
      workers: ['w1'],
      problem: null,
    },
    ...given,
  };
}

function facts(given: Partial<FleetFacts> = {}): FleetFacts {
  return {
    ...{ now: NOW, workers: [aWorker()], differences: [], reconciledAt: NOW - 5_000, suspects: [] },
    redis: { memory: { usedBytes: 10, maxBytes: 100, policy: 'noeviction' }, refusal: null },
    ...given,
  };
}

const found = (given: Partial<FleetFacts>): string[][] =>
  fleetAttention(facts(given)).map(({ level, kind, text, link }) => [level, kind, text, link ?? 'no link']);
const ofQueue = (given: Partial<QueueFacts>, { usual = new Map<string, UsualTimes>(), anyWorker = true } = {}): string[][] =>
  queueAttention(aQueue(given), usual, anyWorker, NOW).map(({ level, kind, text, link }) => [level, kind, text, link ?? 'no link']);
const memory = (usedBytes: number, policy = 'noeviction'): FleetFacts['redis'] => ({
  memory: { usedBytes, maxBytes: 100, policy },
  refusal: null,
});

describe('what needs attention', () => {
  it('is nothing in a healthy fleet', () => assert.deepEqual([found({}), ofQueue({})], [[], []]));

  it('includes a Redis that is nearly full, full, evicts or refuses writes', () => {
    assert.deepEqual(found({ redis: memory(90) }), [
      ['warning', 'redis_memory', 'Redis uses 90 % of its memory limit; when full, it refuses new tasks', 'no link'],
    ]);
    assert.deepEqual(
      found({ redis: memory(100, 'allkeys-lru') }).map(([level, kind]) => [level, kind]),
      [
        ['critical', 'redis_memory'],
        ['critical', 'redis_evicts'],
      ],
    );
    const refused = found({ redis: { ...memory(1), refusal: 'NOREPLICAS Not enough good replicas to write.' } });
    assert.deepEqual(refused, [
      ['critical', 'redis_refuses', 'Redis refuses writes: NOREPLICAS Not enough good replicas to write.', 'no link'],
    ]);
  });

  it('includes a fleet without workers, silent and deaf workers, and differing definitions', () => {
    assert.deepEqual(found({ workers: [] }), [['critical', 'no_workers', 'No worker is alive: no task runs until one starts', '/workers']]);
    const waiting = { workers: [], counts: { queued: 3, inLine: 0, scheduled: 0 } };
    assert.deepEqual(ofQueue(waiting, { anyWorker: false }), []);
    const silent = aWorker({ id: 'w2', alive: false, host: 'beta', beatAt: ago(3 * MINUTE_MS) });
    const longDead = aWorker({ id: 'w3', alive: false, beatAt: ago(2 * 3_600_000) });
    const deaf = aWorker({ id: 'w4', subscribed: false, host: null });
    const differences = [
      { name: 'a', fields: [] },
      { name: 'b', fields: ['retry', 'timeoutMs'] },
    ];
    assert.deepEqual(found({ workers: [aWorker(), silent, longDead, deaf], differences }), [
      ['warning', 'silent_worker', '1 worker went silent without a shutdown: beta (pid 7) 3 min ago', '/workers'],
      ['warning', 'unsubscribed_worker', '1 worker not subscribed to stop commands, so that stops take longer: w4', '/workers'],
      ['warning', 'definitions_differ', 'Definitions differ between processes: a, b (retry, timeoutMs)', '/workers'],
    ]);
  });

  it('includes queues that are broken, paused, taken by nobody or slow', () => {
    const broken = aWorker({ broken: [{ queue: 'chat', problem: 'its key is no list' }] });
    assert.deepEqual(found({ workers: [broken, broken] }), [
      ['critical', 'broken_queue', 'Workers cannot fetch from chat: its key is no list', '/tasks?queue=chat'],
    ]);
    const paused = { by: 'ann', at: ago(12 * MINUTE_MS), reason: 'deploy' };
    const waiting = {
      counts: { queued: 2, inLine: 1, scheduled: 5 },
      oldestWaitMs: 20 * MINUTE_MS,
      oldestWaitTask: { id: 't', name: 'chat.send' },
    };
    assert.deepEqual(ofQueue({ paused, ...waiting }), [
      ['warning', 'paused_queue', 'Queue chat has been paused by ann for 12 min (deploy); 3 tasks wait', '/queues'],
    ]);
    const foreign = { by: null, at: null, reason: null };
    assert.deepEqual(ofQueue({ name: 'maintenance', builtIn: true, paused: foreign }), [
      ['critical', 'paused_queue', 'Queue maintenance has been paused; crashes are not repaired meanwhile', '/queues'],
    ]);
    assert.deepEqual(ofQueue({ workers: [], counts: { queued: 0, inLine: 0, scheduled: 1 } }), [
      ['critical', 'untaken_queue', 'No worker takes chat, where 1 task waits', '/tasks?queue=chat&order=oldest'],
    ]);
    assert.deepEqual(ofQueue({ workers: [] }), []);
    assert.deepEqual(ofQueue({ workers: [], name: 'maintenance', builtIn: true }), [
      ['critical', 'untaken_queue', 'No worker takes maintenance: crashes are not repaired', '/workers'],
    ]);
    assert.deepEqual(ofQueue(waiting), [
      ['warning', 'long_wait', 'The oldest task on chat has waited for 20 min', '/tasks?queue=chat&state=queued&order=oldest'],
    ]);
    const usual = new Map([['chat.send', { runP95Ms: null, waitP95Ms: 10 * MINUTE_MS }]]);
    assert.deepEqual(ofQueue(waiting, { usual }), []);
    assert.deepEqual(ofQueue({ problem: 'keys of the wrong type: p:bull:chat:wait' })[0]?.[1], 'unreadable_queue');
  });

  it('includes a reconciler that does not run, unless the workers have just started', () => {
    assert.deepEqual(found({ reconciledAt: NOW - 5 * MINUTE_MS }), [
      ['critical', 'no_reconcile', 'The reconciler has not run for 5 min: the effects of crashes are not repaired', '/schedules'],
    ]);
    assert.deepEqual(found({ reconciledAt: null })[0]?.[2], 'The reconciler has never run: the effects of crashes are not repaired');
    assert.deepEqual(found({ reconciledAt: null, workers: [aWorker({ startedAt: ago(30_000) })] }), []);
  });

  it('includes tasks that cost workers', () => {
    const suspects = [
      { name: 'leaky', task: 'a/b', workers: 3, lastAt: NOW },
      { name: 'other', task: null, workers: 2, lastAt: NOW },
    ];
    assert.deepEqual(found({ suspects }), [
      ['warning', 'lost_workers', 'A task of leaky cost 3 workers within the last hour', '/tasks/a%2Fb'],
      ['warning', 'lost_workers', 'Tasks of other cost 2 workers within the last hour', '/tasks?state=all&name=other'],
    ]);
  });

  it('includes tasks far beyond their usual time or time limit, and stops that do not settle', () => {
    const run = (id: string, name: string, runMs: number, stoppingMs: number | null = null): TaskFacts['longRuns'][number] => ({
      ...{ id, name, runMs, stoppingMs, queue: 'q' },
    });
    const given: TaskFacts = {
      longRuns: [
        ...[run('1', 'brief', 5 * MINUTE_MS), run('2', 'brief', 2 * MINUTE_MS), run('3', 'brief', 50_000)],
        ...[run('4', 'long', 30 * MINUTE_MS), run('5', 'new', 40 * MINUTE_MS), run('6', 'new', 2 * 3_600_000)],
        ...[run('7', 'limited', 3 * MINUTE_MS), run('8', 'deaf', 90_000, 20_000), run('9', 'deaf', 90_000, 3_000)],
      ],
      usual: new Map([
        ['brief', { runP95Ms: 900, waitP95Ms: null }],
        ['long', { runP95Ms: 20 * MINUTE_MS, waitP95Ms: null }],
      ]),
      timeoutOf: (name) => (name === 'limited' ? 2 * MINUTE_MS : null),
    };
    assert.deepEqual(
      taskAttention(given).map(({ level, kind, text, link }) => [level, kind, text, link]),
      [
        ['critical', 'slow_stop', 'A task of deaf has not ended since a stop 20 s ago', '/tasks/8'],
        ['critical', 'slow_task', 'A task of limited has been running for 3 min, beyond its time limit of 2 min', '/tasks/7'],
        [
          'warning',
          'slow_task',
          '2 tasks of brief have been running for up to 5 min; 95 % of them end within 900 ms',
          '/tasks?state=running&name=brief&order=oldest',
        ],
        ['warning', 'slow_task', 'A task of new has been running for 2 h', '/tasks/6'],
      ],
    );
  });

  it('is sorted by severity, and bounded', () => {
    const many = Array.from(
      { length: 60 },
      (_, index) => ({ level: 'warning', kind: 'long_wait', text: String(index), link: null }) as const,
    );
    const sorted = mostSevere([...many, { level: 'critical', kind: 'no_workers', text: 'first', link: null }]);
    assert.deepEqual([sorted.length, sorted[0]?.text, sorted[1]?.text], [50, 'first', '0']);
  });
});
