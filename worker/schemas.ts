import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isWrongType } from '../shared/redis/reply-error.js';
import type { Store } from '../shared/store.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { TaskHandler } from '../shared/task/handler.js';

/** Name of a task → a hash of its input schema. */
export type Schemas = Readonly<Record<string, string>>;

/** Workers whose heartbeats are read for one answer. */
const MOST_WORKERS = 1_000;

/** Of each handler. A schema that JSON Schema cannot hold has none: nobody can tell it from another. */
export function schemasOf(handlers: Iterable<TaskHandler>): Schemas {
  return Object.fromEntries(
    [...handlers].flatMap(({ definition }) => {
      const hash = hashOf(definition);
      return hash === null ? [] : [[definition.name, hash]];
    }),
  );
}

/** Of what JSON Schema says of the input: a check that is a function of its own does not change it. */
function hashOf({ input }: AnyDefinition): string | null {
  try {
    return createHash('sha256')
      .update(JSON.stringify(z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' })))
      .digest('hex')
      .slice(0, 12);
  } catch {
    return null;
  }
}

/** What other workers have for tasks of the same name: in a fleet that is being upgraded, another version of them. */
export class OtherVersions {
  readonly #store: Store;
  readonly #workerId: string;
  readonly #own: Schemas;

  constructor(store: Store, workerId: string, own: Schemas) {
    this.#store = store;
    this.#workerId = workerId;
    this.#own = own;
  }

  /** Whether a worker that is alive, and goes on taking tasks, has another input schema for a task. */
  async have(name: string): Promise<boolean> {
    const own = this.#own[name];
    if (own === undefined) return false;
    const { redis, keys } = this.#store;
    // A list of workers that is no list any more names none.
    const ids = await redis.zrevrange(keys.workers, 0, MOST_WORKERS - 1).catch((error: unknown) => {
      if (isWrongType(error)) return [];
      throw error;
    });
    const pipeline = redis.pipeline();
    // The hash of a worker that has died expires with its last heartbeat.
    for (const id of ids) if (id !== this.#workerId) pipeline.hmget(keys.worker(id), 'schemas', 'draining');
    const beats = (await pipeline.exec()) ?? [];
    return beats.some(([error, beat]) => {
      const [schemas, draining] = (error === null ? beat : []) as (string | null)[];
      const other: unknown = parseSchemas(schemas)[name];
      return draining !== '1' && typeof other === 'string' && other !== own;
    });
  }
}

function parseSchemas(text: string | null | undefined): Schemas {
  try {
    const schemas: unknown = JSON.parse(text ?? '{}');
    return typeof schemas === 'object' && schemas !== null ? (schemas as Schemas) : {};
  } catch {
    return {};
  }
}
