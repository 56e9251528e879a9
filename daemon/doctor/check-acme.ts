import { get } from 'node:https'
import { getCACertificates } from 'node:tls'
import type { Check } from '../core/interfaces/check.ts'
import type { Tls } from '../store/index.ts'

const patienceMs = 20_000
/** The directory that Caddy uses when none is named. */
const usualDirectory = 'https://acme-v02.api.letsencrypt.org/directory'

/** OpenSSL's error codes for a certificate that does not come from a trusted root (openssl-verify(1), X509_V_ERR_…). */
const unknownRoot = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
])

/**
 * Checks whether Caddy can get certificates from the CA: its directory answers, and the root that Caddy trusts vouches
 * for it.
 */
export async function checkAcme({ directory, root }: Extract<Tls, { mode: 'acme' }>): Promise<Check> {
  const what = `CA at ${new URL(directory ?? usualDirectory).host}`
  const wrong = (says: string, advice: string): Check => ({ what, state: 'wrong', says, advice })
  const settings = 'Set its directory and its root: croft domain set … --acme-directory … --acme-root …'
  try {
    const status = await statusOf(directory ?? usualDirectory, root ?? getCACertificates('system'))
    if (status === 200) return { what, state: 'fine', says: 'answers' }
    return wrong(`answers with status ${status}`, settings)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    if (!unknownRoot.has(code))
      return wrong(`can't be reached: ${message}`, 'This box must be able to reach it by HTTPS.')
    const by = root === null ? 'any root that this box trusts' : 'the root certificate that was given'
    return wrong(`is not certified by ${by}`, settings)
  }
}

function statusOf(url: string, ca: string | string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { ca, agent: false, signal: AbortSignal.timeout(patienceMs) }, (response) => {
      response.destroy()
      resolve(response.statusCode)
    })
    asked.on('error', reject)
  })
}
