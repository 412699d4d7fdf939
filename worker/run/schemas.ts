import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isWrongType } from '../../shared/redis/reply-errors.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { TaskHandler } from '../../shared/task/handler.js';

/** Hashes of input schemas, by task name. */
export type Schemas = Readonly<Record<string, string>>;

/** Most workers whose heartbeats are read for one answer. */
const MAX_WORKERS = 1_000;

/** Hashes the input schema of each handler, except schemas that JSON Schema cannot represent. */
export function schemasOf(handlers: Iterable<TaskHandler>): Schemas {
  return Object.fromEntries(
    [...handlers].flatMap(({ definition }) => {
      const hash = hashOf(definition);
      return hash === null ? [] : [[definition.name, hash]];
    }),
  );
}

/** Hashes the JSON Schema of the input; custom checks of the schema do not affect it. */
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

/** The versions of tasks on other workers, which differ while a fleet is being upgraded. */
export class OtherVersions {
  readonly #store: Store;
  readonly #workerId: string;
  readonly #own: Schemas;

  constructor(store: Store, workerId: string, own: Schemas) {
    this.#store = store;
    this.#workerId = workerId;
    this.#own = own;
  }

  /** Returns whether a live worker that is not draining has another input schema for a task. */
  async have(name: string): Promise<boolean> {
    const own = this.#own[name];
    if (own === undefined) return false;
    const { redis, keys } = this.#store;
    // If the key has a wrong type, no worker is known.
    const ids = await redis.zrevrange(keys.workers, 0, MAX_WORKERS - 1).catch((error: unknown) => {
      if (isWrongType(error)) return [];
      throw error;
    });
    const pipeline = redis.pipeline();
    // The hash of a dead worker expires soon after its last heartbeat.
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
