import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions, Producer } from '../../../../producer/index.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { fleetCanary } from '../../../../worker/builtin/definitions.js';
import { CliFleet } from '../../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../../support/process/command.js';
import { type CliRun, runCli, startCli } from '../../../support/process/run-cli.js';
import { KEEP } from '../../../support/task/keep.js';

const TASK_FIELDS = [
  ...['id', 'name', 'queue', 'item', 'tags', 'state', 'waiting_for', 'attempt', 'max_attempts', 'attempts', 'next_attempt_at'],
  ...['progress', 'result', 'error', 'problem', 'stop', 'skipped_for', 'dedupe_key', 'priority', 'deadline', 'limits', 'worker'],
  ...['enqueued_at', 'started_at', 'finished_at'],
];
const RECEIPT_FIELDS = ['id', 'outcome', 'ended_as', 'via', 'reason', 'by', 'requested_at', 'settled_at', 'latency_ms'];
const LONG = '{"run_ms":60000}';
const HOUR_MS = 3_600_000;

describe('taskfleet task', () => {
  let fleet: CliFleet;
  let folder: string;
  let producer: Producer;
  let env: CliFleet['env'];

  before(async () => {
    fleet = await CliFleet.start();
    ({ folder, producer, env } = fleet);
  });
  after(() => fleet.stop());

  const task = (...args: string[]): Promise<CommandResult> => fleet.task(...args);

  function start(...args: string[]): CliRun {
    return startCli(['task', ...args], { env, cwd: folder });
  }

  /** Enqueues a task of tasks.mjs without the command. */
  async function add(name: string, id: string, options: EnqueueOptions = {}): Promise<void> {
    const definition = defineTask({ name, input: z.strictObject({}), retention: KEEP });
    await producer.enqueue(definition, {}, { ...options, id });
  }

  async function untilRunning(id: string): Promise<void> {
    for await (const event of producer.events(id)) if (event.type === 'state' && event.state === 'running') return;
  }

  describe('enqueue', () => {
    it('prints the task as a line that starts with its id', async () => {
      const { code, stdout } = await task('enqueue', 'fleet.canary', '--input', '{"run_ms":0}', '--id', 'line', '--item', 'a chat');
      assert.equal(code, 0);
      assert.match(stdout, /^line {2}fleet\.canary {2}\w+ {2}item a chat$/);
    });

    it('prints the task as JSON, with -o before or after the command', async () => {
      const runs = await Promise.all([
        runCli(['-o', 'json', 'task', 'enqueue', 'fleet.canary', '--delay', '3600000'], { env }),
        task('enqueue', 'fleet.canary', '--delay', '3600000', '--output=json'),
      ]);
      for (const { code, stdout } of runs) {
        const json = JSON.parse(stdout) as Record<string, unknown>;
        assert.equal(code, 0);
        assert.deepEqual(Object.keys(json), TASK_FIELDS);
        assert.deepEqual([json['name'], json['state']], ['fleet.canary', 'scheduled']);
      }
    });

    it('with --wait, exits with the code of the final state', async () => {
      const [completed, failed] = await Promise.all([
        task('enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait', '-o', 'json'),
        task('enqueue', 'test.fail', '--wait'),
      ]);
      assert.deepEqual([completed.code, failed.code], [0, 1]);
      const json = JSON.parse(completed.stdout) as { state: string; result: { mode: string } };
      assert.deepEqual([json.state, json.result.mode], ['completed', 'cooperative']);
      assert.match(failed.stdout, /^error {5}this never works not even on the second line$/m);
    });

    it('with --wait, exits with code 4 when the task is stopped', async () => {
      const waiting = start('enqueue', 'fleet.canary', '--input', LONG, '--id', 'stopped', '--wait');
      await waiting.waitForLine(/Waiting for it to finish/);
      await producer.stop('stopped');
      assert.equal((await waiting.exit).code, 4);
      assert.match(waiting.stdout.text, /^state {5}cancelled$/m);
    });

    it('on Ctrl+C stops waiting and reports that the task keeps running', async () => {
      const waiting = start('enqueue', 'fleet.canary', '--input', LONG, '--id', 'left', '--wait');
      await waiting.waitForLine(/Waiting for it to finish/);
      waiting.kill('SIGINT');
      assert.equal((await waiting.exit).code, 130);
      assert.match(waiting.stderr.text, /task left keeps running\. To stop it: taskfleet task stop left/);
      assert.equal((await producer.stop('left', { waitMs: 60_000 })).outcome, 'cancelled');
    });

    it('reads the input from a file and from standard input', async () => {
      const file = join(folder, 'input.json');
      await writeFile(file, '\uFEFF{"run_ms":2}');
      assert.equal((await task('enqueue', 'fleet.canary', '--input', `@${file}`)).code, 0);
      const args = ['task', 'enqueue', 'fleet.canary', '--input', '-'];
      assert.equal((await runCli(args, { env, stdin: '{"run_ms":3}' })).code, 0);
      const bad = await runCli(args, { env, stdin: '{"secret":hunter2}' });
      assert.equal(bad.code, 2);
      assert.match(bad.stderr, /standard input is not JSON: Unexpected token 'h'\. .*, got 18 characters\./);
    });

    it('explains what is wrong with an input, exit code 2', async () => {
      const cases = {
        '{"run_ms":': /--input is not JSON: .*got "\{\\"run_ms\\":"/,
        '': /--input is not JSON: .*got nothing/,
        '@missing.json': /"missing\.json": no such file/,
        '{"run_ms":"soon"}': /Bad input for fleet\.canary: run_ms: /,
      };
      const runs = await Promise.all(Object.keys(cases).map((input) => task('enqueue', 'fleet.canary', '--input', input)));
      Object.values(cases).forEach((pattern, index) => {
        assert.match(runs[index]?.stderr ?? '', pattern);
        assert.equal(runs[index]?.code, 2);
        assert.equal(runs[index]?.stdout, '');
      });
    });

    it('lists the known tasks when a name is unknown, exit code 2', async () => {
      const { code, stderr } = await task('enqueue', 'no.such', '-o', 'json');
      assert.equal(code, 2);
      const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
      assert.equal(error.code, 'UNKNOWN_TASK');
      for (const name of ['chat.completion', 'document.index', 'fleet.canary', 'test.talk']) assert.ok(error.message.includes(name), name);
    });

    it('reports an id that already exists', async () => {
      await producer.enqueue(fleetCanary, {}, { id: 'twice', delay: HOUR_MS });
      const { code, stderr } = await task('enqueue', 'fleet.canary', '--id', 'twice');
      assert.equal(code, 0);
      assert.match(stderr, /Task twice already exists \(scheduled\)/);
    });
  });

  describe('list and show', () => {
    before(() => Promise.all(['one', 'two', 'three'].map((id) => producer.enqueue(fleetCanary, {}, { id, item: 'list', delay: HOUR_MS }))));

    it('lists an item in a table', async () => {
      const { code, stdout } = await task('list', '--item', 'list');
      const [header, ...rows] = stdout.split('\n');
      assert.equal(code, 0);
      assert.match(header ?? '', /^ID +NAME +STATE +PROGRESS +AGE +NEXT +ITEM$/);
      assert.deepEqual(new Set(rows.map((row) => row.split(/\s{2,}/)[0])), new Set(['one', 'two', 'three']));
      assert.ok(
        rows.every((row) => row.indexOf('fleet.canary') === header?.indexOf('NAME')),
        stdout,
      );
    });

    it('pages through tasks with the printed cursor', async () => {
      const first = await task('list', '--item', 'list', '--limit', '2', '-o', 'json');
      assert.equal((JSON.parse(first.stdout) as unknown[]).length, 2);
      const cursor = /More tasks follow: --after (?<cursor>\S+)/.exec(first.stderr)?.groups?.['cursor'] ?? '';
      const second = await task('list', '--item', 'list', '--limit', '2', '--after', cursor, '-o', 'json');
      const tasks = JSON.parse(second.stdout) as Record<string, unknown>[];
      assert.deepEqual([tasks.length, Object.keys(tasks[0] ?? {}), second.stderr], [1, TASK_FIELDS, '']);
    });

    it('lists by state, by name and by queue', async () => {
      const [scheduled, completed, canaries, chats] = await Promise.all([
        task('list', '--state', 'scheduled', '--name', 'test.talk', '-o', 'json'),
        task('list', '--state', 'completed', '-o', 'json'),
        task('list', '--item', 'list', '--queue', 'fleet', '-o', 'json'),
        task('list', '--item', 'list', '--queue', 'chat', '-o', 'json'),
      ]);
      assert.equal(scheduled.stdout, '[]');
      const states = (JSON.parse(completed.stdout) as { state: string }[]).map(({ state }) => state);
      assert.deepEqual([...new Set(states)], ['completed']);
      assert.deepEqual([(JSON.parse(canaries.stdout) as unknown[]).length, chats.stdout], [3, '[]']);
    });

    it('shows a task as text and as JSON', async () => {
      const [text, json] = await Promise.all([task('show', 'one'), task('show', 'one', '-o', 'json')]);
      assert.match(text.stdout, /^id {8}one\nname {6}fleet\.canary\nstate {5}scheduled\nitem {6}list$/m);
      assert.deepEqual(Object.keys(JSON.parse(json.stdout) as object), TASK_FIELDS);
    });

    it('exits with code 3 for an unknown task', async () => {
      const { code, stdout, stderr } = await task('show', 'missing');
      assert.deepEqual([code, stdout], [3, '']);
      assert.match(stderr, /^taskfleet: Task missing not found: /);
    });
  });

  describe('stop', () => {
    it("stops an item's tasks: --dry-run lists them, then it prints receipts", async () => {
      await add('test.talk', 'talk-1', { item: 'room' });
      await add('test.talk', 'talk-2', { item: 'room', delay: HOUR_MS });
      await untilRunning('talk-1');
      const dry = await task('stop', '--item', 'room', '--dry-run');
      assert.deepEqual(new Set(dry.stdout.split('\n')), new Set(['talk-1  would be stopped', 'talk-2  would be stopped']));
      const { code, stdout } = await task('stop', '--item', 'room', '--reason', 'closed', '--by', 'me', '-o', 'json');
      const receipts = JSON.parse(stdout) as Record<string, unknown>[];
      assert.equal(code, 0);
      assert.deepEqual(
        receipts.map((receipt) => Object.keys(receipt)),
        [RECEIPT_FIELDS, RECEIPT_FIELDS],
      );
      assert.deepEqual(Object.fromEntries(receipts.map(({ id, outcome, via, reason, by }) => [id, [outcome, via, reason, by]])), {
        'talk-1': ['cancelled', 'signal', 'closed', 'me'],
        'talk-2': ['cancelled', 'queue', 'closed', 'me'],
      });
    });

    it('does not wait with --wait 0; exits with code 3 if a task was not found', async () => {
      await add('test.talk', 'talk-3');
      const { code, stdout } = await task('stop', 'talk-3', 'nobody', '--wait', '0');
      assert.equal(code, 3);
      assert.match(stdout, /^talk-3 {2}(?:stop requested|cancelled.*)\nnobody {2}not found$/);
    });

    it('requires either ids or an item, exit code 2', async () => {
      assert.equal((await task('stop', 'one', '--item', 'list')).code, 2);
    });
  });
});
