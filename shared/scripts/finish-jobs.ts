import type { RedisConnection } from '../redis/connection.js';

const FINISH = 'moveToFinished:';
/** Where the body of BullMQ's script begins, after its functions, which need not be created again for each job. */
const BODY = 'local jobIdKey = KEYS[12]';

/** Number of keys, and of arguments for each job, of BullMQ's script. */
export const FINISH_KEYS = 14;

/**
 * Defines four commands around BullMQ's script `moveToFinished` once BullMQ defines that script on a connection; their keys are those
 * of the script. Call it before BullMQ gets the connection. `test/contract/scripts/fail-jobs.test.ts` and `complete-jobs.test.ts` in the
 * same folder compare them with BullMQ's command.
 *
 * `failJobs` fails several jobs of a queue, because a command for each costs more than its work. Its arguments are those of BullMQ's
 * script, for one job after another. Returns for each job the result of BullMQ's script, or the text of an error.
 *
 * `endStopped` records the stop of a run and fails its job, in one round trip: see its text; `endManyStopped` does so for the runs that end
 * together on a worker. They are named as BullMQ names its commands, as is `completeJobs`, which completes the jobs that end together on a
 * worker and fetches the next ones.
 *
 * @param texts the Lua that calls the function `finish`, for each command
 */
export function defineFinishes(
  redis: RedisConnection,
  texts: Readonly<Record<'failJobs' | 'endStopped' | 'endManyStopped' | 'completeJobs', string>>,
): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => {
    if (name.startsWith(FINISH)) {
      const finish = asFunction(definition.lua);
      const version = name.slice(FINISH.length);
      define('failJobs', { numberOfKeys: FINISH_KEYS, lua: finish + texts.failJobs });
      define(`endStopped:${version}`, { numberOfKeys: FINISH_KEYS, lua: finish + texts.endStopped });
      const endStopped = `${finish}local function endStopped(KEYS, ARGV)\n${texts.endStopped}\nend\n`;
      define(`endManyStopped:${version}`, { numberOfKeys: FINISH_KEYS, lua: endStopped + texts.endManyStopped });
      define(`completeJobs:${version}`, { numberOfKeys: FINISH_KEYS, lua: finish + texts.completeJobs });
    }
    return define(name, definition);
  };
}

function asFunction(lua: string): string {
  const at = Math.max(0, lua.lastIndexOf(BODY));
  return `${lua.slice(0, at)}\nlocal function finish(KEYS, ARGV)\n${lua.slice(at)}\nend\n`;
}
