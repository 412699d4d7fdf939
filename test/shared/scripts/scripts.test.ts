import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageVersion } from '../../../shared/package/version.js';
import { PARTS, SCRIPTS } from '../../../shared/scripts/script-files.js';
import { scriptText } from '../../../shared/scripts/script-texts.js';
import { startQueues } from './queue-places.js';

const ROOT = join(import.meta.dirname, '../../..');
const FOLDER = join(ROOT, 'shared/scripts');

const { client, close, everyPlace, open } = await startQueues();
after(close);

test('every script has a header, and the number of keys in its name', () => {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) => /-\d+\.lua$/.test(file));
  assert.ok(files.length >= 30);
  for (const file of files) {
    const text = readFileSync(join(FOLDER, file), 'utf8');
    const header = /^--\[\[\n([\s\S]*?)\n\]\]\n/.exec(text)?.[1] ?? '';
    assert.match(header, /\bARGV\b/, `${file} describes its arguments`);
    assert.match(header, /Returns /, `${file} says what it returns`);
    const named = Number(/-(\d+)\.lua$/.exec(file)?.[1]);
    const described = [...header.matchAll(/KEYS\[(\d+)\]/g)].map(([, number]) => Number(number));
    assert.deepEqual(
      described.toSorted((a, b) => a - b),
      Array.from({ length: named }, (_, index) => index + 1),
      file,
    );
    // The scripts of the limiter begin with a shared part.
    const part = file.startsWith('limits') ? readFileSync(join(FOLDER, 'limits/records.lua'), 'utf8').split(']]\n')[1] : '';
    const used = [...(part + text.slice(header.length)).matchAll(/KEYS\[(\d+)\]/g)].map(([, number]) => Number(number));
    assert.deepEqual(
      [...new Set(used)].toSorted((a, b) => a - b),
      described.toSorted((a, b) => a - b),
      `${file} uses all of them`,
    );
  }
});

test('the build contains the version and the text of every Lua file, and every file is in use', () => {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.lua'));
  for (const file of files) assert.equal(scriptText(file.slice(0, -'.lua'.length)), readFileSync(join(FOLDER, file), 'utf8'), file);
  assert.equal(packageVersion(), (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version);
  assert.doesNotMatch(scriptText.toString() + packageVersion.toString(), /readFileSync/);

  const defined = Object.entries(SCRIPTS).flatMap(([folder, its]) =>
    Object.entries(its).map(([name, keys]) => `${folder}/${name}-${keys}`),
  );
  // These extend scripts of BullMQ.
  const used = new Set([
    ...defined,
    ...Object.values(PARTS).flat(),
    'attempts/note-stalls',
    'registry/addTasks',
    'stop/failJobs',
    'stop/endStopped',
    'stop/endManyStopped',
    'jobs/completeJobs',
  ]);
  assert.deepEqual(files.map((file) => file.slice(0, -'.lua'.length)).toSorted(), [...used].toSorted());
});

test("a scheduler's own record is not a job", async () => {
  const { queue, record, read, keys } = await open();
  await queue.upsertJobScheduler('nightly', { every: 3_600_000 }, { name: 'n' });
  const before = await client.hgetall(`${keys.jobs('q')}repeat:nightly`);
  assert.ok(before['name'], 'the record looks like a job');
  assert.deepEqual(await record(['repeat:nightly']), [['missing', '']]);
  assert.deepEqual(await client.hgetall(`${keys.jobs('q')}repeat:nightly`), before);
  assert.deepEqual(await read(['repeat:nightly']), [null]);
});

test('the remains of a removed job after a late write are not a job', async () => {
  const { keys, record, read } = await open();
  await client.hset(`${keys.jobs('q')}ghost`, 'progress', '5');
  assert.deepEqual(await record(['ghost']), [['missing', '']]);
  assert.deepEqual(await read(['ghost']), [null]);
});

test('readTasks returns the place of each job', async () => {
  const { read } = await everyPlace();
  const places = {
    ...{
      'is-completed': 'completed',
      'is-failed': 'failed',
      'is-active': 'active',
      'retry-delayed': 'delayed',
      'retry-waiting': 'waiting',
    },
    ...{ 'is-waiting': 'waiting', 'is-prioritized': 'prioritized', 'is-delayed': 'delayed', parent: 'waiting-children' },
  };
  const rows = await read([...Object.keys(places), 'nobody']);
  assert.deepEqual(rows, [...Object.values(places).map((place) => [place, 'n']), null]);
});

test('an ended job keeps its final state even when it is missing from the list of that state', async () => {
  const { read, keys } = await everyPlace();
  await client.del(`${keys.jobs('q')}completed`, `${keys.jobs('q')}failed`);
  assert.deepEqual(
    await read(['is-completed', 'is-failed'], 'finishedOn nosuch').then((rows) =>
      rows.map((row) => [row?.[0], row?.length, Number(row?.[1]) > 0]),
    ),
    [
      ['completed', 3, true],
      ['failed', 3, true],
    ],
  );
  await client.hset(`${keys.jobs('q')}is-waiting`, 'finishedOn', 5);
  assert.deepEqual(await read(['is-waiting']), [['waiting', 'n']], 'even with a foreign end time');
});

test('readTasks returns when a delayed job is due, and null for any other', async () => {
  const { queue, read, pick, add } = await open();
  const { timestamp } = await queue.add('n', {}, { jobId: 'later', delay: 60_000 });
  await add('now');
  await pick();
  assert.deepEqual(await read(['later', 'now'], '@due name'), [
    ['delayed', String(timestamp + 60_000), 'n'],
    ['active', null, 'n'],
  ]);
});

test('readTasks returns the requested fields in order, with null for missing ones', async () => {
  const { add, pick, read } = await open();
  await add('a');
  await pick();
  const [row] = await read(['a'], 'stop  name nosuch atm');
  assert.deepEqual(row, ['active', null, 'n', null, null]);
});
