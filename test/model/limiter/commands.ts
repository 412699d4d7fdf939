import {
  type AsyncCommand,
  boolean,
  commands as commandsOf,
  constant,
  constantFrom,
  nat,
  oneof,
  record,
  shuffledSubarray,
} from 'fast-check';
import type { Entrant } from './entrant.js';
import { KEYS, SETTABLE } from './needs.js';
import type { LimiterWorld } from './world.js';

type Command = AsyncCommand<object, LimiterWorld>;

/** A step of a producer, a worker or a person. Its target is the `pick`-th possible one; without any, it does nothing. */
function command(name: string, detail: string | number | object | undefined, act: (world: LimiterWorld) => Promise<unknown>): Command {
  const text = detail === undefined ? name : `${name}(${typeof detail === 'object' ? JSON.stringify(detail) : detail})`;
  return {
    check: () => true,
    run: async (_, world) => {
      world.note(text);
      await act(world);
      await world.inspector.inspect();
      world.inspector.report();
    },
    toString: () => text,
  };
}

function onOne(pick: number, targets: readonly Entrant[], act: (target: Entrant) => Promise<unknown>): Promise<unknown> {
  const target = targets[pick % Math.max(1, targets.length)];
  return target === undefined ? Promise.resolve() : act(target);
}

const pick = nat(7);
const needs = record({
  keys: shuffledSubarray([...KEYS], { maxLength: 3 }),
  turn: constantFrom(null, null, 'x', 'y'),
  cost: constantFrom(0, 0, 1, 300),
  whole: boolean(),
  maxWaiting: constantFrom(null, null, null, 2),
});
const enqueue = record({
  needs,
  priority: constantFrom(0, 0, 0, 1, 5),
  whenBusy: constantFrom('wait', 'wait', 'wait', 'reject', 'stop-previous', 'replace-waiting'),
  below: constantFrom(false, false, true),
  steps: constantFrom(3, 3, 3, 0, 1, 2),
  pick,
})
  .filter((choice) => choice.needs.keys.length > 0 || choice.needs.turn !== null || choice.needs.cost > 0 || choice.needs.whole)
  .map(({ pick: n, ...choice }) => command('enqueue', choice, (world) => world.enqueue(choice, n)));
const fetch = nat(2).map((steps) =>
  command('fetch', steps, async (world) => {
    const entrant = await world.fetch();
    if (entrant) for (let n = 0; n < steps; n += 1) await world.goOn(entrant);
  }),
);
const end = record({ pick, how: constantFrom('completes', 'completes', 'retries', 'requeues'), releases: boolean() }).map((choice) =>
  command('end', choice, (world) =>
    onOne(choice.pick, world.at('running'), async (entrant) => {
      await world.end(entrant, choice.how);
      if (choice.releases) await world.goOn(entrant);
    }),
  ),
);
const stop = record({ pick, releases: boolean() }).map((choice) =>
  command('stop', choice, (world) =>
    onOne(choice.pick, world.at('queued', 'running'), async (entrant) => {
      await world.stop(entrant);
      if (choice.releases) await world.goOn(entrant);
    }),
  ),
);
const goOn = pick.map((n) =>
  command('goOn', n, (world) =>
    onOne(n, world.at('registered', 'adding', 'added', 'fetched', 'parking', 'releasing'), (entrant) => world.goOn(entrant)),
  ),
);
const repeat = constant(
  command('repeat', undefined, (world) => {
    world.repeats = true;
    return Promise.resolve();
  }),
);
const die = pick.map((n) =>
  command('die', n, (world) =>
    onOne(n, world.at('registered', 'adding', 'added', 'fetched', 'parking', 'running', 'releasing'), (entrant) => world.die(entrant)),
  ),
);
const set = record({ id: constantFrom(...SETTABLE), limit: constantFrom(null, 0, 1, 2, 3) }).map(({ id, limit }) =>
  command('set', { id, limit }, (world) => world.set(id, limit)),
);
const tend = boolean().map((late) => command('tend', late ? 'late' : 'early', (world) => world.tend(late)));
const readmit = constant(command('readmit', undefined, (world) => world.readmit()));
const releaseLate = constant(command('releaseLate', undefined, (world) => world.releaseLate()));
const loseRecord = pick.map((n) => command('loseRecord', n, (world) => onOne(n, world.live, ({ id }) => world.lose('tasks', id))));
const loseKey = constantFrom('places:', 'line:').chain((kind) =>
  constantFrom(...KEYS, '').map((key) =>
    command('loseKey', `${kind}${key}`, (world) => world.lose(`${kind}${key === '' ? 'task:t:' : `group:${key}`}`, null)),
  ),
);

/** The commands of a run; important ones are more frequent. Keys are deleted only `damaged`. */
export function commandsFor(damaged: boolean): ReturnType<typeof commandsOf<object, LimiterWorld, false>> {
  const weighted = [
    { weight: 14, arbitrary: enqueue },
    { weight: 12, arbitrary: fetch },
    { weight: 10, arbitrary: end },
    { weight: 4, arbitrary: stop },
    { weight: 8, arbitrary: goOn },
    { weight: 3, arbitrary: repeat },
    { weight: 3, arbitrary: die },
    { weight: 3, arbitrary: set },
    { weight: 2, arbitrary: tend },
    { weight: 1, arbitrary: readmit },
    { weight: 2, arbitrary: releaseLate },
    ...(damaged ? [{ weight: 2, arbitrary: oneof(loseRecord, loseKey) }] : []),
  ];
  return commandsOf<object, LimiterWorld, false>([oneof(...weighted)], { maxCommands: 50, size: 'max' });
}
