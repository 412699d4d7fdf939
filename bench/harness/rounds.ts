import type { Env, Ratio, Row } from './suite.js';

/** The measurements of each side, one for each round. */
export type Rounds<Name extends string, Measurement> = Readonly<Record<Name, readonly Measurement[]>>;

/**
 * Measures the sides in turn, on an empty Redis. Each round starts with another side, so that none is always measured on a warmer machine;
 * the first round is the warm-up and does not count.
 */
export async function interleave<const Name extends string, Measurement>(
  { client, sizes: { rounds }, step }: Env<never>,
  sides: readonly Name[],
  measure: (side: Name) => Promise<Measurement>,
): Promise<Rounds<Name, Measurement>> {
  const measured = Object.fromEntries(sides.map((side) => [side, [] as Measurement[]])) as Record<Name, Measurement[]>;
  for (let round = 0; round <= rounds; round += 1) {
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length] as Name;
      step(round === 0 ? `warm-up, ${side}` : `round ${round} of ${rounds}, ${side}`);
      await client.flushall();
      const measurement = await measure(side);
      if (round > 0) measured[side].push(measurement);
    }
  }
  return measured;
}

/** Returns a row with one number of each measurement. */
export function rowOf<Name extends string, Measurement>(
  rounds: Rounds<Name, Measurement>,
  { name, unit, ratios = [] }: Omit<Row, 'sides'>,
  pick: (measurement: Measurement) => number,
): Row {
  const sides = Object.entries<readonly Measurement[]>(rounds).map(([side, all]) => [side, all.map(pick)]);
  return { name, unit, sides: Object.fromEntries(sides) as Record<string, number[]>, ratios };
}

/** Returns the ratios of one side to each of the others. */
export function ratiosTo(of: string, others: readonly string[], better: Ratio['better']): Ratio[] {
  return others.map((to) => ({ of, to, better }));
}
