import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { openTelemetry } from 'taskfleet/telemetry';
import { interleave } from '../harness/rounds.js';
import { type Row, defineSuite } from '../harness/suite.js';
import { measureFleet } from './fleet.js';
import { throughputRows } from './throughput.js';

export const telemetry = defineSuite({
  name: 'telemetry',
  about: 'The cost of telemetry: without it, with the OpenTelemetry API alone, and with an SDK that records each span and exports none',
  sizes: { rounds: { full: 5, quick: 2 }, tasks: { full: 10_000, quick: 3_000 } },
  async run(env) {
    const load = { tasks: env.sizes.tasks, inFlight: 500, concurrency: 64 };
    const recorded = openTelemetry({ tracerProvider: new BasicTracerProvider() });
    const settings = { off: undefined, 'no SDK': openTelemetry(), SDK: recorded };
    const rounds = await interleave(env, ['off', 'no SDK', 'SDK'], (side) =>
      measureFleet(env.redis.url, load, { telemetry: settings[side] }),
    );
    const [first = [], second = []] = (['no SDK', 'SDK'] as const).map((side) => throughputRows(rounds, side, ['off']));
    return { rows: first.map((row, index): Row => ({ ...row, ratios: [...(row.ratios ?? []), ...(second[index]?.ratios ?? [])] })) };
  },
});
