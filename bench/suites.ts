import { list } from './find/list-api.js';
import { find } from './find/pages.js';
import type { Suite } from './harness/suite.js';
import { limits } from './limits/cost.js';
import { fairness } from './limits/fairness.js';
import { line } from './limits/line.js';
import { logs } from './logs/logs.js';
import { memory } from './memory/memory.js';
import { mix } from './mix/mix.js';
import { pools } from './pools/pools.js';
import { scaling } from './scaling/scaling.js';
import { items } from './stops/items.js';
import { stops } from './stops/stops.js';
import { subscribers } from './stops/subscribers.js';
import { bulk } from './throughput/bulk.js';
import { leases } from './throughput/leases.js';
import { replicas } from './throughput/replicas.js';
import { telemetry } from './throughput/telemetry.js';
import { throughput } from './throughput/throughput.js';

/** All suites, in the order in which they run. */
export const SUITES: readonly Suite[] = [
  ...[throughput, bulk, replicas, telemetry, leases, stops, subscribers, items],
  ...[memory, mix, list, find, pools, logs, limits, fairness, line, scaling],
];
