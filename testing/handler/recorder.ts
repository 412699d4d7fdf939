import { type LogLine, parseLogLine } from '../../shared/log/task-log.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { decodeChunk } from '../../shared/task/payload/payload.js';
import { chunkJsons, progressJson } from '../../worker/run/output.js';

/** What a handler reports while it runs, as a follower of the task would see it. */
export class Recorder {
  readonly chunks: unknown[] = [];
  readonly progresses: (number | object)[] = [];
  readonly lines: LogLine[] = [];
  readonly costs: number[] = [];

  /** @param definition decodes the chunks, as for a reader */
  constructor(
    private readonly definition: Pick<AnyDefinition, 'name' | 'chunk'>,
    private readonly onChunk: (chunk: unknown) => void,
  ) {}

  /** @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the chunk */
  emit(chunk: unknown, whole = false): void {
    const { name, chunk: schema } = this.definition;
    for (const json of chunkJsons(chunk, whole)) {
      const carried = decodeChunk(name, schema, JSON.parse(json));
      this.chunks.push(carried);
      this.onChunk(carried);
    }
  }

  /** @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the value */
  progress(value: number | object): void {
    this.progresses.push(JSON.parse(progressJson(value)) as number | object);
  }

  /** Adds a line in the format of a task's log. */
  add(line: string): void {
    this.lines.push(parseLogLine(line, this.lines.length + 1));
  }

  spend(cost: number): void {
    this.costs.push(cost);
  }
}
