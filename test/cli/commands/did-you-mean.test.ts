import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { until } from '../../support/until.js';

describe('a mistyped name', () => {
  let fleet: TestFleet;
  let env: Record<string, string>;

  before(async () => {
    fleet = await TestFleet.onOneServer();
    const prefix = fleet.newPrefix();
    env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix };
    await fleet.worker(prefix, []);
  });
  after(() => fleet.stop());

  function run(words: string): Promise<CommandResult> {
    return runCli(words.split(' '), { env });
  }

  it('of a task, a queue, a command or an option is answered with the like one', async () => {
    const cases: Record<string, RegExp> = {
      'task enqueue fleet.canray': /^taskfleet: Unknown task "fleet\.canray"\. Did you mean "fleet\.canary"\? Known: billing/,
      'task list --name chat.compeltion': /^No tasks match\. Did you mean --name chat\.completion\?$/,
      'task list --queue docments --count': /^Did you mean --queue documents\?$/,
      'task lst': /unknown command 'lst'\n\(Did you mean list\?\)$/,
      'task list --stat failed': /unknown option '--stat'\n\(Did you mean --state\?\)$/,
    };
    // The fleet has half a second to answer with its names; a busy machine may need more.
    for (const [words, expected] of Object.entries(cases))
      await until(
        () => run(words),
        ({ stderr }) => expected.test(stderr),
      );
  });

  it('is not guessed at if the name is known, or like no other', async () => {
    for (const words of ['task list --name fleet.canary', 'task list --name report.build', 'task list --name fleet.*'])
      assert.equal((await run(words)).stderr, 'No tasks match.', words);
  });
});
