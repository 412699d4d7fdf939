import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, type JWTHeaderParameters, SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';

export const ISSUER = 'https://issuer.example';
export const AUDIENCE = 'taskfleet';

/** A JWT issuer on loopback that publishes one key. */
export interface Issuer {
  readonly url: string;
  /** The public key as PEM, known to attackers. */
  readonly publicPem: string;
  /** Number of key requests. */
  readonly asked: () => number;
  /** Signs a valid JWT with the given overrides; `undefined` omits a claim. */
  sign(claims?: Readonly<Record<string, unknown>>, header?: Partial<JWTHeaderParameters>, key?: CryptoKey | Uint8Array): Promise<string>;
  /** An unpublished key. */
  readonly foreignKey: CryptoKey;
  stop(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const [own, foreign] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(own.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] });
  let asked = 0;
  const server = createServer((_req, res) => {
    asked += 1;
    res.writeHead(200, { 'Content-Type': 'application/json' }).end(keys);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const now = (): number => Math.floor(Date.now() / 1_000);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    publicPem: await exportSPKI(own.publicKey),
    asked: () => asked,
    sign: (claims = {}, header = {}, key = own.privateKey) =>
      new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'ada', role: 'operator', exp: now() + 300, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'one', ...header })
        .sign(key),
    foreignKey: foreign.privateKey,
    stop: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
