import pg from 'pg'

/** Every table of Berth in a PostgreSQL database with all its content as text; bytes are in hex. */
export async function databaseTables(url: string): Promise<[table: string, content: string][]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const tables = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname LIKE 'berth%'`,
    )
    const contents: [string, string][] = []
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`)
      contents.push([name, rows.map(({ row }) => row).join('\n')])
    }
    return contents
  } finally {
    await client.end()
  }
}
