/** A private registry of Amazon ECR. */
export interface EcrRegistry {
  readonly accountId: string
  readonly region: string
  /** Origin of the API that exchanges access keys for registry passwords. */
  readonly apiOrigin: string
}

// Anchored, since a longer name that only contains this belongs to somebody else.
const ECR_HOST = /^(\d{12})\.dkr\.ecr(-fips)?\.([a-z]{2}(?:-[a-z]+){1,2}-\d{1,2})\.amazonaws\.com(\.cn)?$/

/** The registry that a host names, or null when it is not one of private ECR. */
export function parseEcrHost(host: string): EcrRegistry | null {
  const [, accountId, fips, region, china = ''] = ECR_HOST.exec(host) ?? []
  if (accountId === undefined || region === undefined) return null
  const api = fips === undefined ? `api.ecr.${region}` : `ecr-fips.${region}`
  return { accountId, region, apiOrigin: `https://${api}.amazonaws.com${china}` }
}
