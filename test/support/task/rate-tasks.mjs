// The task of the scenario of rates. In its own file, because a worker loads it by path.
import { Redis } from 'ioredis';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const { RATE = '[]', STARTS = '', REDIS_URL = '', CLOCK_SHIFT_MS = '0' } = process.env;

const real = Date.now.bind(Date);
Date.now = () => real() + Number(CLOCK_SHIFT_MS);

const redis = new Redis(REDIS_URL);

/** Notes each start with Redis' own time. */
const NOTE = "local t = redis.call('TIME') return redis.call('RPUSH', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000))";

const definition = defineTask({ name: 'rate.task', input: z.object({}), rate: JSON.parse(RATE) });

export default [defineHandler(definition, () => redis.eval(NOTE, 1, STARTS))];
