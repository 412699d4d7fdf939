import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { METRICS } from '../../../dashboard/metrics/exposition.js';
import { Scrape } from '../../../dashboard/metrics/scrape.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { metricsOf } from '../../support/fleet/metrics-page.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string; readonly refId: string }[];
}

const file = (name: string): string => readFileSync(new URL(`../../../deploy/${name}`, import.meta.url), 'utf8');
const { groups } = parse(file('alerts.yml')) as { groups: { name: string; rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(file('grafana-dashboard.json')) as {
  title: string;
  uid: string;
  panels: Panel[];
  templating: { list: { name: string; definition?: string }[] };
};

/** PromQL words in the place of a metric. `up` is a metric of Prometheus itself. */
const WORDS = new Set(['max', 'min', 'sum', 'by', 'rate', 'increase', 'histogram_quantile', 'time', 'up', 'unless', 'on']);

/** Returns the names in an expression other than labels and PromQL words. */
function namesIn(expr: string): string[] {
  const bare = expr
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|on)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/[a-zA-Z_][\w:]*/g)].map(([name]) => name).filter((name) => !WORDS.has(name));
}

/** Returns whether all brackets match. */
function isBalanced(expr: string): boolean {
  const open: string[] = [];
  for (const [bracket] of expr.replace(/"[^"]*"/g, '').matchAll(/[()[\]{}]/g)) {
    if ('([{'.includes(bracket)) open.push(bracket);
    else if (open.pop() !== { ')': '(', ']': '[', '}': '{' }[bracket]) return false;
  }
  return open.length === 0;
}

describe('the files of deploy/', () => {
  let fleet: TestFleet;
  /** The metrics of `/metrics`, including the series of histograms. */
  let exported: ReadonlySet<string>;

  before(async () => {
    fleet = await TestFleet.start();
    const logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('dashboard');
    const producer = fleet.producer();
    const names = metricsOf(await new Scrape({ producer, store: producer.store }, logger).page());
    exported = new Set(names.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));
  });
  after(() => fleet.stop());

  function check(what: string, expr: string): void {
    assert.ok(isBalanced(expr), `${what}: ${expr}`);
    for (const name of namesIn(expr)) assert.ok(exported.has(name), `${what}: ${name} is not among the metrics`);
    // A histogram has no samples with its plain name.
    for (const name of namesIn(expr))
      assert.notEqual((METRICS as Record<string, { type: string }>)[name]?.type, 'histogram', `${what}: ${name}`);
    for (const [, labels = ''] of expr.matchAll(/\{([^}]*)\}/g)) {
      for (const [, label = ''] of labels.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g))
        assert.ok(LABELS.has(label), `${what}: ${label} is no label`);
    }
  }

  test('every alert is complete and uses existing metrics', () => {
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
    for (const { alert, expr, for: wait, labels, annotations, ...rest } of rules) {
      assert.deepEqual(rest, {}, alert);
      assert.match(alert, /^Taskfleet[A-Z]\w+$/);
      assert.match(wait, /^\d+[smh]$/);
      assert.ok(['critical', 'warning'].includes(labels['severity'] ?? ''), alert);
      assert.ok((annotations['summary'] ?? '').length > 10 && (annotations['description'] ?? '').length > 10, alert);
      check(alert, expr);
    }
  });

  test('there is an alert for each condition that needs an operator', () => {
    const asked = new Set(rules.flatMap(({ expr }) => namesIn(expr)));
    for (const metric of [
      'stop_oldest_open_seconds',
      'workers_subscribed',
      'queue_oldest_wait_seconds',
      'queue_paused',
      'queues_unserved',
      'definitions_differing',
      'workers',
      'redis_up',
      'reconciler_repairs_total',
    ]) {
      assert.ok(asked.has(`taskfleet_${metric}`), metric);
    }
  });

  test('every panel of the Grafana dashboard uses existing metrics, and no panels overlap', () => {
    assert.equal(dashboard.uid, 'taskfleet');
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    const taken = new Set<string>();
    for (const {
      title,
      gridPos: { x, y, w, h },
      targets,
    } of dashboard.panels) {
      assert.ok(targets.length > 0 && x + w <= 24, title);
      for (const { expr } of targets) check(title, expr);
      for (let column = x; column < x + w; column += 1) {
        for (let row = y; row < y + h; row += 1) {
          assert.ok(!taken.has(`${column},${row}`), `${title} covers another panel`);
          taken.add(`${column},${row}`);
        }
      }
    }
    const variables = dashboard.templating.list;
    const used = JSON.stringify(dashboard.panels).matchAll(/\$\{?([a-z]\w*)/g);
    for (const [, name] of used)
      assert.ok(
        variables.some((one) => one.name === name),
        `$${name}`,
      );
    for (const { definition = '' } of variables)
      for (const [, name = ''] of definition.matchAll(/label_values\((\w+)/g)) assert.ok(exported.has(name), name);
  });

  test('Prometheus loads these rules and reads its token from a file', () => {
    const {
      rule_files: ruleFiles,
      scrape_configs: [job],
    } = parse(file('prometheus.yml')) as { rule_files: string[]; scrape_configs: Record<string, unknown>[] };
    assert.deepEqual(ruleFiles, ['alerts.yml']);
    assert.equal(job?.['job_name'], 'taskfleet');
    assert.deepEqual(Object.keys(job['authorization'] as object), ['credentials_file']);
  });

  test('the check finds mistakes in an expression', () => {
    assert.throws(() => check('a mistake', 'max(taskfleet_workerz)'));
    assert.throws(() => check('a mistake', 'rate(taskfleet_stop_latency_seconds[5m])'));
    assert.throws(() => check('a mistake', 'taskfleet_stops_total{outcom="cancelled"}'));
    assert.throws(() => check('a mistake', 'max(taskfleet_workers'));
  });
});

/** The fleet's labels and those added by Prometheus. */
const LABELS = new Set([...Object.values(METRICS).flatMap(({ labels }) => [...labels]), 'fleet', 'instance', 'job', 'le']);
