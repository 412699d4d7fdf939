import { InvalidArgumentError } from 'commander';

/** Returns a parser for a whole-number option. The option's help states the unit. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (argument) => {
    const value = /^\d+$/.test(argument) ? Number(argument) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}
