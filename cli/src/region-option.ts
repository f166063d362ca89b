/** `--region` of a command. */
export interface RegionOptions {
  readonly region?: string
}

/** The query that it stands for. */
export function inRegion({ region }: RegionOptions): { region?: string } {
  return region === undefined ? {} : { region }
}
