import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { METRICS } from '../../../dashboard/metrics/exposition.js';

test('docs/reference/metrics.md lists exactly the metrics with type, labels and description', async () => {
  const text = await readFile(new URL('../../../docs/reference/metrics.md', import.meta.url), 'utf8');
  const rows = new Map(
    text
      .split('\n')
      .flatMap((line) =>
        [...line.matchAll(/^\| `(taskfleet_\w+)` \| (.*) \|$/g)].map(([, name = '', rest = '']) => [name, rest.split(' | ')] as const),
      ),
  );
  assert.deepEqual([...rows.keys()], Object.keys(METRICS));
  for (const [name, { type, labels, help }] of Object.entries(METRICS)) {
    const [documentedType, documentedLabels, about = ''] = rows.get(name) ?? [];
    assert.deepEqual([name, documentedType, documentedLabels], [name, type, labels.map((label) => `\`${label}\``).join(', ') || '–']);
    assert.ok(about.startsWith(help), `${name}: expected "${help}" in ${about}`);
  }
});

test("metric names follow Prometheus' conventions", () => {
  for (const [name, { type, help, labels }] of Object.entries(METRICS)) {
    assert.match(name, /^taskfleet_[a-z_]+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    if (type === 'histogram') assert.match(name, /_seconds$/);
    assert.doesNotMatch(name, /_(ms|milliseconds|minutes|kb|mb)(_|$)/);
    assert.match(help, /^[A-Z].*\.$/);
    for (const label of labels) assert.ok(!['id', 'task', 'item', 'user'].includes(label), `${name}: ${label}`);
  }
});
