import { builtImage } from './croft.ts'

/** Builds the images that all tests share, before the first test. */
export default async function setup(): Promise<void> {
  await builtImage('debian')
  await builtImage('bare')
}

if (import.meta.main) await setup()
