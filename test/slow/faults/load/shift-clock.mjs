// Loaded before a worker with `node --import`: shifts the time of day by CLOCK_SHIFT_MS, for CLOCK_SHIFT_FOR_MS if set.
// Timers are not affected.
const { CLOCK_SHIFT_MS, CLOCK_SHIFT_FOR_MS } = process.env;
const RealDate = globalThis.Date;
const until = CLOCK_SHIFT_FOR_MS === undefined ? Infinity : performance.now() + Number(CLOCK_SHIFT_FOR_MS);
const now = () => RealDate.now() + (performance.now() < until ? Number(CLOCK_SHIFT_MS) : 0);

globalThis.Date = class Date extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(now());
    else super(...parts);
  }

  static now() {
    return now();
  }
};
