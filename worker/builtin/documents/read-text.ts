import { closeSync, fstatSync, readSync } from 'node:fs';
import type { DocumentTree, Names } from './document-tree.js';

/** Reads a file. Null if it is unreadable, longer than `maxBytes`, or not UTF-8 text. */
export function readText(tree: DocumentTree, file: Names, maxBytes: number): string | null {
  const fd = tree.open(file);
  if (fd === null) return null;
  try {
    const bytes = readBytes(fd, maxBytes);
    return bytes === null || bytes.includes(0) ? null : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

function readBytes(fd: number, maxBytes: number): Buffer | null {
  const { size } = fstatSync(fd);
  if (size > maxBytes) return null;
  const buffer = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const read = readSync(fd, buffer, length, buffer.length - length, length);
    length += read;
    if (read === 0) return buffer.subarray(0, length);
    // The file grew while it was read: ignore the rest.
    if (length > size) return null;
  }
}
