import type { RedisConnection } from '../redis/connection.js';

const ADD = 'addStandardJob:';
/** Between these two are the functions of BullMQ's script, which need not be created again for each job. */
const FUNCTIONS = '-- Includes';
const BODY = 'if parentKey ~= nil then\n    if rcall("EXISTS", parentKey) ~= 1 then return -5 end';

/** Number of keys of BullMQ's script. */
export const ADD_KEYS = 9;

/**
 * Defines the command `addTasks` around BullMQ's script `addStandardJob` once BullMQ defines that script on a connection: it registers
 * tasks and adds their jobs in one call, because a command for each costs more than its work. Call it before BullMQ gets the connection.
 * `test/contract/scripts/add-tasks.test.ts` compares it with BullMQ's command.
 *
 * @param text the Lua that calls the function `add`
 */
export function defineAddTasks(redis: RedisConnection, text: string): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => {
    if (name.startsWith(ADD)) define('addTasks', { numberOfKeys: ADD_KEYS + 1, lua: asFunction(definition.lua) + text });
    return define(name, definition);
  };
}

function asFunction(lua: string): string {
  const body = Math.max(0, lua.lastIndexOf(BODY));
  const functions = Math.min(body, Math.max(0, lua.indexOf(FUNCTIONS)));
  const add = `local function add(KEYS, ARGV)\n${lua.slice(0, functions)}\n${lua.slice(body)}\nend\n`;
  return `local rcall = redis.call\n${lua.slice(functions, body)}\n${add}`;
}
