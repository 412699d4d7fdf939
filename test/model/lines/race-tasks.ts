import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { type TaskDefinition, defineTask } from '../../../shared/task/definition.js';
import { type TaskContext, defineHandler } from '../../../shared/task/handler.js';
import type { LoadedHandler } from '../../../worker/task-modules.js';
import type { Audit, AuditedKeys } from './audit.js';

export const QUEUE = 'race';
const input = z.object({
  /** How long an attempt takes. */
  ms: z.number(),
  /** Attempts that fail. */
  fails: z.number(),
  one: z.string(),
  two: z.string(),
});
export type RaceInput = z.infer<typeof input>;

const common = {
  ...{ queue: QUEUE, input },
  retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 5, jitter: 0 } },
  retention: { completed: { ageMs: 3_600_000, count: 50 }, failed: { ageMs: 3_600_000, count: 50 } },
} as const;
const one = { by: ({ input: { one: key } }: { input: RaceInput }) => key, limit: 1, group: 'one' };
const two = { by: ({ input: { two: key } }: { input: RaceInput }) => key, limit: 1, group: 'two' };

export const definitions = {
  single: defineTask({ name: 'race.single', ...common, concurrency: { by: 'item', limit: 1 } }),
  double: defineTask({ name: 'race.double', ...common, concurrency: [{ by: 'item', limit: 2, group: 'double' }, { limit: 5 }] }),
  fair: defineTask({ name: 'race.fair', ...common, fair: { by: 'item' }, concurrency: { by: 'item', limit: 3 } }),
  // The keys of two groups, in opposite orders.
  forth: defineTask({ name: 'race.forth', ...common, concurrency: [one, two] }),
  back: defineTask({ name: 'race.back', ...common, concurrency: [two, one] }),
};
export type Kind = keyof typeof definitions;

/** Returns the keys of a task whose limits its handler checks. */
export function keysOf(kind: Kind, item: string, { one: first, two: second }: Pick<RaceInput, 'one' | 'two'>): AuditedKeys {
  switch (kind) {
    case 'single':
      return [[`task:race.single:${item}`, 1]];
    case 'double':
      return [
        [`group:double:${item}`, 2],
        ['task:race.double:', 5],
      ];
    case 'fair':
      return [[`task:race.fair:${item}`, 3]];
    case 'forth':
    case 'back':
      return [
        [`group:one:${first}`, 1],
        [`group:two:${second}`, 1],
      ];
  }
}

/** Handlers of one worker, which check through Redis who runs beside them. */
export function handlersOf(audit: Audit, worker: string): Map<string, LoadedHandler> {
  const handlers = (Object.entries(definitions) as [Kind, TaskDefinition<RaceInput>][]).map(([kind, definition]) => {
    const handler = defineHandler(definition, async (context: TaskContext<RaceInput>) => {
      const { id, attempt, item, signal } = context;
      const keys = keysOf(kind, item as string, context.input);
      const run = `${id}/${attempt}/${worker}`;
      await audit.enter(run, worker, keys);
      try {
        await setTimeout(context.input.ms, undefined, { signal });
      } finally {
        await audit.leave(run, worker, keys);
      }
      if (attempt <= context.input.fails) throw new Error('An attempt fails');
      return null;
    });
    return [definition.name, { ...handler, source: { moduleUrl: '', name: definition.name } }] as const;
  });
  return new Map(handlers);
}
