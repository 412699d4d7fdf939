/** Fields that are censored down to the third level of a line. */
export const SECRET_FIELDS = ['input', 'password', 'token', 'apiKey', 'authorization', 'redisUrl', 'openaiBaseUrls', 'openaiKeys'] as const;

/** Returns whether a field of this name is censored. */
export function isSecretField(name: string): boolean {
  return (SECRET_FIELDS as readonly string[]).includes(name);
}
