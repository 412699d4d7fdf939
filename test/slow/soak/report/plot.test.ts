import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuditCounts } from '../../faults/audit/audit.js';
import { type Plotted, plotOf } from './plot.js';
import { sampleRun } from './sample-run.js';

const RESULT: Plotted = {
  options: { minutes: 20, seed: 42, topology: 'standalone', out: '', faults: true },
  lastedMs: 1_200_000,
  samples: sampleRun({ pid: (minute) => (minute < 10 ? 3 : 4) }).map((sample) =>
    sample.atMs === 300_000 ? { ...sample, redis: null } : sample,
  ),
  faults: [
    { kind: 'worker-kill', about: 'worker 2 SIGKILL, <another> after 0 ms', atMs: 60_000, untilMs: 62_000 },
    { kind: 'redis-kill', about: 'Redis SIGKILL', atMs: 600_000, untilMs: null },
    { kind: 'redis-kill', about: 'Redis SIGKILL', atMs: 900_000, untilMs: 901_000 },
  ],
  enqueued: 36_000,
  audit: { stopsAcknowledged: 7_200 } as AuditCounts,
  growths: [],
  problems: [],
};

/** Returns the elements in document order. @throws an error if the document is not well-formed */
function elementsOf(svg: string): { readonly name: string; readonly attributes: Record<string, string> }[] {
  const open: string[] = [];
  const elements: { name: string; attributes: Record<string, string> }[] = [];
  let at = 0;
  for (const tag of svg.matchAll(/<(\/?)([a-z]+)((?:\s+[a-z-]+(?::[a-z]+)?="[^"<]*")*)\s*(\/?)>/gi)) {
    const [whole, closes, name = '', attributes = '', isEmpty] = tag;
    const between = svg.slice(at, tag.index);
    assert.doesNotMatch(between, /[<>]|&(?!(?:amp|lt|gt|quot);)/, 'text that is no text');
    assert.ok(open.length > 0 || between.trim() === '', 'text outside of the document');
    at = tag.index + whole.length;
    if (closes) assert.equal(open.pop(), name);
    else {
      elements.push({
        name,
        attributes: Object.fromEntries([...attributes.matchAll(/([a-z:-]+)="([^"]*)"/gi)].map(([, key, value]) => [key, value])),
      });
      if (!isEmpty) open.push(name);
    }
  }
  assert.deepEqual([open, svg.slice(at).trim()], [[], '']);
  return elements;
}

describe('The plot of a soak', () => {
  const svg = plotOf(RESULT);
  const elements = elementsOf(svg);

  it('is well-formed, with only numbers in its paths', () => {
    assert.equal(elements[0]?.name, 'svg');
    assert.doesNotMatch(svg, /NaN|Infinity|undefined|null/);
    for (const { attributes } of elements.filter(({ name }) => name === 'path'))
      assert.match(attributes['d'] as string, /^(?:[MLHVh][\d. -]+)+$/);
  });

  it('has every series with its name and unit', () => {
    for (const name of [
      'producer',
      'worker 1',
      'worker 2',
      'Redis',
      'all clients',
      'all keys (DBSIZE)',
      'ended tasks, kept',
      'live tasks',
      'all entries',
    ])
      assert.ok(svg.includes(`>${name}</text>`), name);
    for (const title of ['Memory of each process (RSS), MiB', 'Memory of Redis (used_memory), MiB', 'minutes'])
      assert.ok(svg.includes(`>${title}</text>`), title);
    const drawn = elements.filter(({ attributes }) => attributes['class']?.startsWith('line') && (attributes['d']?.length ?? 0) > 100);
    assert.equal(drawn.length, 3 + 1 + 3 + 1 + 2 + 2);
  });

  it('interrupts a line at missing measurements and between processes', () => {
    const begins = elements
      .filter(({ attributes }) => attributes['class']?.startsWith('line'))
      .map(({ attributes }) => (attributes['d'] ?? '').split('M').length - 1);
    assert.equal(begins.filter((count) => count === 2).length, 1 + 1 + 1 + 1 + 2 + 2);
  });

  it('marks each fault in all charts and in the row of its kind', () => {
    assert.equal(elements.filter(({ attributes }) => attributes['class'] === 'fault').length, 3);
    assert.equal(elements.filter(({ attributes }) => attributes['class'] === 'mark').length, 3);
    assert.ok(svg.includes('worker-kill (1)') && svg.includes('redis-kill (2)') && !svg.includes('clients-kill'));
    assert.ok(svg.includes('&lt;another&gt;'));
  });

  it('works for a short run without a sample', () => {
    const empty = plotOf({ ...RESULT, lastedMs: 5_000, samples: [], faults: [] });
    elementsOf(empty);
    assert.doesNotMatch(empty, /NaN|Infinity/);
    assert.ok(empty.includes('>seconds</text>'));
  });
});
