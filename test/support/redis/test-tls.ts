import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { generate } from 'selfsigned';
import { removeAtExit } from '../process/reaper.js';

export interface TestTlsOptions {
  /** Whether the server refuses clients without a certificate of the same CA. Default: false. */
  readonly clientCertificates?: boolean;
}

/** A certificate with its key, in PEM. */
interface Pair {
  readonly cert: string;
  readonly key: string;
}

const HOUR_MS = 3_600_000;
const KEY = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;
/** Type 2 is a name, type 7 an address. */
const SERVER_NAMES = [
  { type: 2, value: 'localhost' },
  { type: 7, ip: '127.0.0.1' },
] as const;

/**
 * A CA for one test, with a certificate for the server 127.0.0.1 (localhost) and one for a client. Valid from an hour ago, for tests
 * with a wrong clock, until tomorrow.
 */
export class TestTls {
  /** Paths of the PEM files, for settings. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Client options for ioredis and node:tls, with and without a client certificate. */
  readonly client: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'>;
  readonly anonymous: Pick<ConnectionOptions, 'ca'>;

  private constructor(
    private readonly dir: string,
    ca: Pair,
    client: Pair,
    private readonly clientCertificates: boolean,
  ) {
    this.caFile = join(dir, 'ca.pem');
    this.certFile = join(dir, 'client.pem');
    this.keyFile = join(dir, 'client-key.pem');
    this.client = { ca: ca.cert, ...client };
    this.anonymous = { ca: ca.cert };
  }

  static async create({ clientCertificates = false }: TestTlsOptions = {}): Promise<TestTls> {
    const ca = await issue(
      'Test CA',
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    );
    // A server is also a client, of its master and of other cluster nodes.
    const roles = { name: 'extKeyUsage', serverAuth: true, clientAuth: true } as const;
    const server = await issue('127.0.0.1', { name: 'subjectAltName', altNames: [...SERVER_NAMES] }, roles, ca);
    const client = await issue('Test client', { name: 'basicConstraints', cA: false }, { name: 'extKeyUsage', clientAuth: true }, ca);
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-tls-')));
    removeAtExit(dir);
    const files = {
      'ca.pem': ca.cert,
      'server.pem': server.cert,
      'server-key.pem': server.key,
      'client.pem': client.cert,
      'client-key.pem': client.key,
    };
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(dir, name), text, { mode: 0o600 })));
    return new TestTls(dir, ca, client, clientCertificates);
  }

  /** Returns the configuration of a redis-server that uses TLS only, on this port, for replication and on the cluster bus. */
  serverConfig(port: number): string[] {
    return [
      ...[
        'port 0',
        `tls-port ${port}`,
        'tls-replication yes',
        'tls-cluster yes',
        `tls-auth-clients ${this.clientCertificates ? 'yes' : 'no'}`,
      ],
      ...[
        `tls-ca-cert-file "${this.caFile}"`,
        `tls-cert-file "${join(this.dir, 'server.pem')}"`,
        `tls-key-file "${join(this.dir, 'server-key.pem')}"`,
      ],
    ];
  }

  /** Removes the files. Servers need them until they have ended. */
  remove(): Promise<void> {
    return rm(this.dir, { recursive: true, force: true });
  }
}

type Extension = NonNullable<NonNullable<Parameters<typeof generate>[1]>['extensions']>[number];

/** Makes a certificate, signed by the CA if one is given. */
async function issue(commonName: string, first: Extension, second: Extension, ca?: Pair): Promise<Pair> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], {
    ...KEY,
    extensions: [first, second],
    notBeforeDate: new Date(Date.now() - HOUR_MS),
    notAfterDate: new Date(Date.now() + 24 * HOUR_MS),
    ...(ca === undefined ? {} : { ca }),
  });
  return { cert, key };
}
