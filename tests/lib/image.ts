import { builtImage } from './croft.ts'

/** Before the first test: the images that all of them share. */
export default async function setup(): Promise<void> {
  await builtImage('debian')
  await builtImage('bare')
}

if (import.meta.main) await setup()
