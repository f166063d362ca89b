import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './process.ts'

/** PEM files of a self-signed certificate. */
export type Certificate = { certFile: string; keyFile: string }

/** Makes a self-signed certificate for 127.0.0.1 and localhost in a folder. `name` is its common name. */
export async function makeCertificate(folder: string, name: string): Promise<Certificate> {
  mkdirSync(folder, { recursive: true })
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ]
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  await runCommand('openssl', [...request, ...subject, '-keyout', files.keyFile, '-out', files.certFile])
  return files
}

/** A certificate authority of a test. */
export type Authority = {
  caFile: string
  keyFile: string
  /** Issues a certificate; one that has expired needs no waiting. `names`: `DNS:localhost,IP:127.0.0.1` by default. */
  issue(options?: { names?: string; expired?: boolean }): Promise<Certificate>
}

/** Makes a certificate authority in a folder. */
export async function makeAuthority(folder: string): Promise<Authority> {
  mkdirSync(folder, { recursive: true })
  const caFile = join(folder, 'ca.pem')
  const caKeyFile = join(folder, 'ca-key.pem')
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const authority = ['req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=Berth test authority']
  await runCommand('openssl', [...authority, '-keyout', caKeyFile, '-out', caFile])
  let issued = 0
  return {
    caFile,
    keyFile: caKeyFile,
    async issue({ names = 'DNS:localhost,IP:127.0.0.1', expired = false } = {}) {
      issued += 1
      const file = (kind: string) => join(folder, `${issued}-${kind}.pem`)
      const files = { certFile: file('cert'), keyFile: file('key') }
      const subject = ['-subj', '/CN=berth-test', '-addext', `subjectAltName=${names}`]
      await runCommand('openssl', [
        'req',
        ...newKey,
        ...subject,
        '-keyout',
        files.keyFile,
        '-out',
        file('request'),
      ])
      const signer = ['-CA', caFile, '-CAkey', caKeyFile, '-copy_extensions', 'copy']
      const days = expired ? '-1' : '2'
      const signing = ['x509', '-req', '-in', file('request'), ...signer, '-days', days]
      await runCommand('openssl', [...signing, '-out', files.certFile])
      return files
    },
  }
}
