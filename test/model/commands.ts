import { setTimeout } from 'node:timers/promises';
import { type AsyncCommand, boolean, commands as commandsOf, constant, constantFrom, nat, oneof, record } from 'fast-check';
import { until } from '../support/until.js';
import { type CallFact, type TaskFact, lifeOf } from './facts.js';
import type { Model } from './model.js';
import type { EnqueueChoice, StopHow, World } from './world.js';

/** Longer than any step of a run, on a busy machine. */
const PATIENCE_MS = 30_000;

type Command = AsyncCommand<Model, World>;

/**
 * An action on the fleet. Its target is picked when it runs: the `pick`-th possible one; without any, it does nothing. The run does not
 * wait for the workers' reaction: the next command may come before, during or after it.
 */
function command(name: string, detail: string | number | object | undefined, act: (world: World) => Promise<unknown>): Command {
  const text = detail === undefined ? name : `${name}(${typeof detail === 'object' ? JSON.stringify(detail) : detail})`;
  return {
    check: () => true,
    run: async (model, world) => {
      model.note(text);
      await inTime(act(world), () => model.violated(`${text} hangs`));
      await world.observe();
      model.acknowledge();
      model.check();
    },
    toString: () => text,
  };
}

/** Reports work that hangs, and goes on. */
async function inTime(work: Promise<unknown>, onLate: () => void): Promise<void> {
  const timer = new AbortController();
  const late = setTimeout(PATIENCE_MS, undefined, { signal: timer.signal }).then(onLate, () => undefined);
  await Promise.race([work, late]);
  timer.abort();
}

function onOne<Target>(pick: number, targets: readonly Target[], act: (target: Target) => Promise<unknown>): Promise<unknown> {
  const target = targets[pick % Math.max(1, targets.length)];
  return target === undefined ? Promise.resolve() : act(target);
}

const pick = nat(7);
const item = constantFrom(null, 'a', 'b');
const manner = { kind: constantFrom('once', 'quick', 'slow'), mood: constantFrom('heeds', 'deaf') } as const;
const isAlive = ({ worker }: CallFact): boolean => !worker.dead;
const isFresh = (task: TaskFact): boolean => lifeOf(task).end === null;

/** Waits until the workers have fetched all possible tasks. */
async function caughtUp(world: World): Promise<void> {
  const deadline = performance.now() + 500;
  const idle = async (): Promise<boolean> => {
    const views = [...(await world.observe()).values()];
    const waiting = views.filter(({ id, state }) => state === 'queued' || (state === 'retrying' && world.model.byId(id)?.kind === 'quick'));
    return waiting.length === 0 || world.freeSlots === 0 || performance.now() > deadline;
  };
  await until(idle, Boolean);
}

const enqueue = record<EnqueueChoice>({
  ...manner,
  item,
  delayed: boolean(),
  onBusy: constantFrom(null, null, 'stop-previous', 'reject'),
}).map((choice) => command('enqueue', choice, (world) => world.enqueue(choice)));
const start = constant(command('start', undefined, caughtUp));
const child = record({ pick, ...manner, delayed: boolean() }).map((choice) =>
  command('child', choice, (world) =>
    onOne(
      choice.pick,
      world.open.filter(({ worker, abortedBy }) => !worker.dead && abortedBy === null),
      (call) => world.enqueueChild(call, choice),
    ),
  ),
);
const finish = pick.map((n) => command('finish', n, (world) => onOne(n, world.open, (call) => Promise.resolve(call.end('returns')))));
const fail = pick.map((n) => command('fail', n, (world) => onOne(n, world.open, (call) => Promise.resolve(call.end('throws')))));
const stop = record({ pick, how: constantFrom<StopHow[]>('announced', 'mute', 'bare'), wait: boolean() }).map(({ pick: n, how, wait }) =>
  command('stop', { n, how, wait }, (world) => onOne(n, world.known, (task) => world.stop(task, how, wait ? { waitMs: 60_000 } : {}))),
);
const stopLive = record({ pick, how: constantFrom<StopHow[]>('announced', 'mute') }).map(({ pick: n, how }) =>
  command('stopLive', { n, how }, (world) => onOne(n, world.known.filter(isFresh), (task) => world.stop(task, how))),
);
const stopItem = constantFrom('a', 'b').map((name) => command('stopItem', name, (world) => world.stopItem(name)));
const retry = pick.map((n) =>
  command('retry', n, (world) =>
    onOne(
      n,
      world.known.filter((task) => ['failed', 'cancelled'].includes(lifeOf(task).end?.state ?? '')),
      (task) => world.retry(task),
    ),
  ),
);
const wake = constant(command('wake', undefined, (world) => world.wake()));
const crash = record({ pick, trace: constantFrom('lock', 'beat', 'both') }).map(({ pick: n, trace }) =>
  command('crash', { n, trace }, (world) => onOne(n, world.arena.alive, (worker) => world.crash(worker, trace))),
);
const requeue = pick.map((n) => command('requeue', n, (world) => onOne(n, world.arena.alive, (worker) => world.requeue(worker))));
const loseLock = pick.map((n) => command('loseLock', n, (world) => onOne(n, world.open.filter(isAlive), (call) => world.loseLock(call))));
const deafen = constant(command('deafen', undefined, (world) => world.deafen()));
const stalled = constant(command('stalled', undefined, (world) => world.findStalled()));
const reconcile = constant(
  command('reconcile', undefined, async (world) => {
    const stopped = world.known.filter((task) => world.model.isStopped(task));
    await world.reconcile(60_000);
    const views = await world.observe();
    for (const { id, label } of stopped) {
      if (views.get(id as string)?.state === 'stopping' && (await world.isOrphan(id as string)))
        world.model.violated(`${label} has a stop and no owner, but the reconciler did not settle it`);
    }
  }),
);
const hold = constantFrom('enqueue:checked', 'enqueue:registered', 'worker:fetched', 'worker:tracked', 'worker:ended', 'stop:recorded').map(
  (step) => command('hold', step, (world) => Promise.resolve(world.gates.arm(step))),
);
const release = pick.map((n) => command('release', n, (world) => Promise.resolve(world.gates.release(n))));

/** The commands of a run; important ones are more frequent. */
export const commands = commandsOf(
  [
    oneof(
      ...[
        { weight: 12, arbitrary: enqueue },
        { weight: 10, arbitrary: start },
        { weight: 6, arbitrary: child },
        { weight: 6, arbitrary: finish },
        { weight: 6, arbitrary: fail },
        { weight: 6, arbitrary: stop },
        { weight: 6, arbitrary: stopLive },
        { weight: 3, arbitrary: stopItem },
        { weight: 5, arbitrary: retry },
        { weight: 2, arbitrary: wake },
        { weight: 2, arbitrary: crash },
        { weight: 1, arbitrary: requeue },
        { weight: 3, arbitrary: loseLock },
        { weight: 2, arbitrary: deafen },
        { weight: 3, arbitrary: stalled },
        { weight: 3, arbitrary: reconcile },
        { weight: 6, arbitrary: hold },
        { weight: 5, arbitrary: release },
      ],
    ),
  ],
  { maxCommands: 40, size: 'max' },
);
