import type { Frame } from './frames.js';

const WIDTH = 1_200;
const ROW = 16;
const FONT = 'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="10"';
const TOP = 44;
/** Narrower frames are left out. */
const LEAST_WIDTH = 1;
/** Width of a character, in px. */
const CHARACTER = 6.1;
const COLORS: Readonly<Record<string, string>> = {
  ours: '#e4572e',
  bullmq: '#f3a712',
  ioredis: '#6ca6c1',
  node: '#a8c686',
  gc: '#9d8189',
};
const OTHER = '#d6d6d6';

/**
 * Returns an SVG of the stacks, callers above callees, as wide as their time.
 * @param scale time of the whole width, in µs per job: the same for two graphs that are compared
 */
export function flameGraph(root: Frame, title: string, scale: number): string {
  const boxes: string[] = [];
  const px = WIDTH / scale;
  let deepest = 0;
  const draw = (frame: Frame, left: number, depth: number): void => {
    const width = frame.total * px;
    if (width < LEAST_WIDTH) return;
    deepest = Math.max(deepest, depth);
    boxes.push(box(frame, left, TOP + depth * ROW, width));
    let at = left;
    for (const callee of [...frame.callees.values()].toSorted((a, b) => b.total - a.total)) {
      draw(callee, at, depth + 1);
      at += callee.total * px;
    }
  };
  let at = 0;
  for (const frame of [...root.callees.values()].toSorted((a, b) => b.total - a.total)) {
    draw(frame, at, 0);
    at += frame.total * px;
  }
  const height = TOP + (deepest + 1) * ROW + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ${FONT}>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="4" y="16" font-size="13" font-weight="bold">${escaped(title)}</text>`,
    ...legend(),
    ...boxes,
    '</svg>\n',
  ].join('\n');
}

function legend(): string[] {
  return Object.entries({ ...COLORS, other: OTHER }).map(
    ([name, color], index) =>
      `<rect x="${4 + index * 90}" y="24" width="11" height="11" fill="${color}"/><text x="${19 + index * 90}" y="33">${name}</text>`,
  );
}

function box({ name, module, total }: Frame, left: number, top: number, width: number): string {
  const characters = Math.floor((width - 4) / CHARACTER);
  const label = characters < 3 ? '' : name.length > characters ? `${name.slice(0, characters - 1)}…` : name;
  const [x, w] = [left.toFixed(1), Math.max(0.5, width - 0.5).toFixed(1)];
  const text = label && `<text x="${(left + 3).toFixed(1)}" y="${top + 11}">${escaped(label)}</text>`;
  const tip = `<title>${escaped(name)} (${module}): ${total.toFixed(1)} µs</title>`;
  return `<g>${tip}<rect x="${x}" y="${top}" width="${w}" height="${ROW - 1}" fill="${COLORS[module] ?? OTHER}"/>${text}</g>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
