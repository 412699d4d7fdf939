import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { METRICS } from '../../../dashboard/metrics/exposition.js';
import { SETTINGS, loadSettings } from '../../../shared/settings/settings.js';

interface Variable {
  readonly name: string;
  readonly value?: string;
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly timeoutSeconds: number;
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly Variable[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

interface Deployment {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector: { readonly matchLabels: object };
    readonly template: {
      readonly metadata: { readonly labels: object };
      readonly spec: { readonly terminationGracePeriodSeconds: number; readonly containers: readonly [Container] };
    };
  };
}

interface ScaledObject {
  readonly kind: string;
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string };
    readonly advanced: {
      readonly horizontalPodAutoscalerConfig: {
        readonly behavior: {
          readonly scaleDown: { readonly policies: readonly { readonly value: number; readonly periodSeconds: number }[] };
        };
      };
    };
    readonly triggers: readonly { readonly type: string; readonly metadata: { readonly query: string; readonly threshold: string } }[];
  };
}

function documents(name: string): unknown[] {
  return parseAllDocuments(readFileSync(new URL(`../../../deploy/${name}`, import.meta.url), 'utf8')).map((document) => {
    assert.deepEqual(document.errors, [], name);
    return document.toJS() as unknown;
  });
}

const deployments = (documents('kubernetes.yaml') as Deployment[]).filter(({ kind }) => kind === 'Deployment');
const [scaled] = documents('keda.yaml') as [ScaledObject];
/** The margin for requeueing and closing after the shutdown timeout. */
const AFTER_SHUTDOWN_MS = 5_000;

function podOf(name: string): Deployment['spec']['template']['spec'] {
  const found = deployments.find(({ metadata }) => metadata.name === name);
  assert.ok(found, name);
  return found.spec.template.spec;
}

/** Returns the environment of a container, with placeholders for secrets. */
function settingsOf({ env }: Container): ReturnType<typeof loadSettings> {
  const secrets: Record<string, string> = { REDIS_URL: 'redis://redis', API_TOKENS: `ada:admin:${'0'.repeat(64)}` };
  return loadSettings(Object.fromEntries(env.map(({ name, value }) => [name, value ?? secrets[name]])));
}

describe('deploy/kubernetes.yaml', () => {
  test('has existing settings with valid values', () => {
    const known = new Set<string>(Object.values(SETTINGS).map(({ env }) => env));
    for (const { metadata, spec } of deployments) {
      const [container] = spec.template.spec.containers;
      assert.deepEqual(
        container.env.map(({ name }) => name).filter((name) => !known.has(name)),
        [],
        metadata.name,
      );
      settingsOf(container);
      assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels, metadata.name);
    }
  });

  test('gives each process time to end', () => {
    assert.equal(deployments.length, 2);
    for (const { metadata, spec } of deployments) {
      const {
        containers: [container],
        terminationGracePeriodSeconds,
      } = spec.template.spec;
      assert.ok(terminationGracePeriodSeconds * 1_000 >= settingsOf(container).shutdownTimeoutMs + AFTER_SHUTDOWN_MS, metadata.name);
    }
  });

  test('probes dashboards at their port, with a sufficient timeout', () => {
    const {
      containers: [{ ports, livenessProbe, readinessProbe, ...container }],
    } = podOf('taskfleet-dashboard');
    const { apiPort, apiHost } = settingsOf({ ports: [], ...container });
    assert.deepEqual([ports?.[0]?.containerPort, apiHost], [apiPort, '0.0.0.0']);
    assert.deepEqual([livenessProbe?.httpGet.path, readinessProbe?.httpGet.path], ['/livez', '/readyz']);
    for (const probe of [livenessProbe, readinessProbe]) {
      assert.equal(probe?.httpGet.port, ports?.[0]?.name);
      assert.ok((probe?.timeoutSeconds ?? 0) > 2);
    }
  });
});

describe('deploy/keda.yaml', () => {
  const [{ type, metadata: trigger }] = scaled.spec.triggers as [ScaledObject['spec']['triggers'][0]];

  test('scales the workers by their concurrency', () => {
    assert.deepEqual([scaled.kind, scaled.spec.scaleTargetRef.name, type], ['ScaledObject', 'taskfleet-worker', 'prometheus']);
    const {
      containers: [container],
    } = podOf('taskfleet-worker');
    assert.equal(Number(trigger.threshold), settingsOf(container).concurrency);
  });

  test('uses existing metrics with their labels, as in docs/guides/operations.md', () => {
    const read = [...trigger.query.matchAll(/(\w+)\{([^}]*)\}/g)];
    assert.deepEqual(
      read.map(([, metric]) => metric),
      ['taskfleet_queue_jobs', 'taskfleet_queue_paused'],
    );
    for (const [, metric = '', labels = ''] of read) {
      // `fleet` comes from prometheus.yml.
      const known: readonly string[] = ['fleet', ...METRICS[metric as keyof typeof METRICS].labels];
      assert.deepEqual(
        [...labels.matchAll(/(\w+)=/g)].map(([, label = '']) => label).filter((label) => !known.includes(label)),
        [],
      );
    }
    const documented = readFileSync(new URL('../../../docs/guides/operations.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ');
    assert.ok(documented.includes(trigger.query));
  });

  test('removes one worker at a time', () => {
    const { terminationGracePeriodSeconds } = podOf('taskfleet-worker');
    const { policies } = scaled.spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown;
    for (const { value, periodSeconds } of policies) assert.ok(value === 1 && periodSeconds > terminationGracePeriodSeconds);
  });
});
