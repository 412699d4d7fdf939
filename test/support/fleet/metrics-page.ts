/** Returns the samples of a Prometheus page by name and labels. */
export function samplesOf(page: string): Map<string, number> {
  const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

/** Returns the samples of one metric by the labels between the braces, without those of value 0. */
export function valuesOf(page: string, metric: string): Record<string, number> {
  const values = [...samplesOf(page)].flatMap(([key, value]): [string, number][] => {
    const [name, labels = ''] = key.split(/\{(.*)\}$/);
    return name === metric && value !== 0 ? [[labels.replaceAll('"', ''), value]] : [];
  });
  return Object.fromEntries(values);
}

/** Returns the metrics declared on a page, with or without samples. */
export function metricsOf(page: string): string[] {
  return [...page.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name as string);
}
