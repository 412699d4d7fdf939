import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../../shared/errors.js';
import { receipt, taskState } from './task.js';

const codes = [...(Object.keys(ERROR_CODES) as ErrorCode[]), 'INTERNAL_ERROR'] as const;

export const problem = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string().meta({ description: 'The status in words.' }),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'For people. Decide by `code`, never by this.' }),
    code: z.enum(codes),
    request_id: z.string().nullable(),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Each field that is wrong.' }),
    ids: z
      .array(z.string())
      .optional()
      .meta({ description: 'With `ITEM_BUSY`: the live tasks. With `NOT_REPLICATED`: those that were added or stopped.' }),
    id: z.string().optional().meta({ description: 'Of the task that was to be added, where `exists` is.' }),
    exists: z
      .union([z.boolean(), z.literal('unknown')])
      .optional()
      .meta({ description: 'With an error of Redis after `POST /tasks`: whether the task exists.' }),
    known: z.array(z.string()).optional().meta({ description: 'With `UNKNOWN_TASK`: the names that are known.' }),
    receipt: receipt.optional().meta({ description: 'With `TASK_FINISHED`.' }),
    receipts: z.array(receipt).optional().meta({ description: 'With `NOT_REPLICATED`, of a stop.' }),
    replicas: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: how many replicas have it.' }),
    wanted: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: how many should.' }),
    state: taskState.optional().meta({ description: 'With `TASK_NOT_RETRYABLE`.' }),
  })
  .meta({ id: 'Problem', description: 'An error as RFC 9457 has it.' });
