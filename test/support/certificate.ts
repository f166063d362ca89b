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
