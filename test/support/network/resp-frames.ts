const LINE_FEED = 0x0a;

/**
 * Splits one direction of a Redis connection, in RESP 2 or 3, into whole requests or replies. A line outside RESP, such as `PING`,
 * counts as one.
 */
export class RespFrames {
  /** The chunks of the incomplete frame. */
  #parts: Buffer[] = [];
  #line = '';
  /** Missing bytes of a string, its line end included. */
  #skip = 0;
  /** Missing values of the frame, nested ones included. */
  #values = 1;

  /** Returns the frames that end in this chunk, each with all of its bytes. */
  split(chunk: Buffer): Buffer[] {
    const frames: Buffer[] = [];
    let [start, at] = [0, 0];
    while (at < chunk.length) {
      at = this.#skip > 0 ? this.#readString(chunk, at) : this.#readLine(chunk, at);
      if (this.#values > 0) continue;
      frames.push(Buffer.concat([...this.#parts, chunk.subarray(start, at)]));
      start = at;
      this.#parts = [];
      this.#values = 1;
    }
    if (start < chunk.length) this.#parts.push(chunk.subarray(start));
    return frames;
  }

  /** Returns the position after the bytes read, as `#readLine` does. */
  #readString(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#skip, chunk.length);
    this.#skip -= end - at;
    if (this.#skip === 0) this.#values -= 1;
    return end;
  }

  #readLine(chunk: Buffer, at: number): number {
    const end = chunk.indexOf(LINE_FEED, at);
    this.#line += chunk.toString('latin1', at, end === -1 ? chunk.length : end);
    if (end === -1) return chunk.length;
    this.#readHeader(this.#line);
    this.#line = '';
    return end + 1;
  }

  #readHeader(line: string): void {
    const length = Math.max(Number.parseInt(line.slice(1), 10), -1);
    const values = Math.max(length, 0);
    switch (line[0]) {
      case '$': // a string
      case '=': // a string with its format
      case '!': // a long error
        if (length === -1) this.#values -= 1;
        else this.#skip = length + 2;
        return;
      case '*': // a list; a set; a push message
      case '~':
      case '>':
        this.#values += values - 1;
        return;
      case '%': // a map
        this.#values += 2 * values - 1;
        return;
      case '|': // a map of attributes, followed by their value
        this.#values += 2 * values;
        return;
      default:
        this.#values -= 1;
    }
  }
}
