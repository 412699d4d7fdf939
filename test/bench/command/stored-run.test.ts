import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type StoredRun, readRun, requireWritable, writeRun } from '../../../bench/command/stored-run.js';
import { UsageError } from '../../../bench/command/usage-error.js';
import { folderOf } from '../../support/folder.js';

const RUN: StoredRun = {
  at: '2026-11-30T12:00:00.000Z',
  machine: { taskfleet: '0.1.0', cpu: 'a CPU', cores: 2, memoryGb: 24, os: 'Linux', node: 'v20.20.2', redis: '7.0.15', load: 0.1 },
  suites: [
    {
      name: 'throughput',
      about: 'tasks',
      sizes: { rounds: 2, tasks: 10 },
      rows: [
        {
          name: 'process',
          unit: 'jobs/s',
          sides: { fleet: [12_345.678, 2], bare: [Number.NaN] },
          ratios: [{ of: 'fleet', to: 'bare', better: 'higher' }],
        },
      ],
      notes: ['a note'],
    },
  ],
};

describe('A stored run', () => {
  it('is read as it was written, with five digits and without what is no number', async (t) => {
    const file = join(await folderOf(t, {}), 'run.json');
    await requireWritable(file);
    await writeRun(file, RUN);
    const { suites, ...run } = await readRun(file);
    assert.deepEqual(run, { format: 'taskfleet-bench', version: 1, at: RUN.at, machine: RUN.machine });
    assert.deepEqual(suites[0]?.rows[0]?.sides, { fleet: [12_346, 2], bare: [] });
    assert.deepEqual({ ...suites[0], rows: [] }, { ...RUN.suites[0], rows: [] });
  });

  for (const [what, text, message] of [
    ['no JSON', 'not JSON', /is not JSON/],
    ['a file of another program', '{"format":"k6","version":1}', /is not a run stored by .*: format/],
    ['a run of another version', JSON.stringify({ ...RUN, format: 'taskfleet-bench', version: 2 }), /: version/],
    ['a run without suites', JSON.stringify({ ...RUN, format: 'taskfleet-bench', version: 1, suites: [] }), /: suites/],
    [
      'a row with text for a number',
      JSON.stringify({ ...RUN, format: 'taskfleet-bench', version: 1 }).replace('12345.678', '"fast"'),
      /: suites\.0\.rows\.0\.sides\.fleet\.0/,
    ],
  ] as const) {
    it(`is not ${what}`, async (t) => {
      const file = join(await folderOf(t, {}), 'run.json');
      await writeFile(file, text);
      await assert.rejects(readRun(file), (error) => error instanceof UsageError && message.test(error.message));
    });
  }

  it('must exist, and its folder too', async (t) => {
    const file = join(await folderOf(t, {}), 'none', 'run.json');
    await assert.rejects(readRun(file), { name: 'UsageError', message: /ENOENT\. Store a run first/ });
    await assert.rejects(requireWritable(file), { name: 'UsageError', message: /ENOENT\. Expected a file in an existing/ });
  });
});
