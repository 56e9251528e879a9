import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Croft, startCroft } from '../lib/croft.ts'
import type { Figure } from './figures.ts'
import { prepareFloor, type Times } from './floor.ts'
import { firstSsh } from './guest-steps.ts'
import { virtInstall } from './virt-install.ts'

const rounds = 5
const slowRounds = 3

/**
 * How soon a new VM is ready: with and without a spare, compared with the floor, a cold boot of the same image, and
 * virt-install. Each round has all of them, one after the other.
 */
export async function forkFigures(): Promise<Figure[]> {
  await using croft = await startCroft({ config: { spares: 1 } })
  const figures = makeFigures([
    'floor',
    '`croft new` with a spare',
    '`croft new`',
    '`croft new --cold`',
    '`virt-install --import`',
  ])
  await croft.do('new', 'model')
  const { checkpoints, memories } = await croft.state()
  const golden = Object.values(checkpoints).find(({ kind }) => kind === 'golden')!
  const memory = join(croft.folder, memories[golden.memory!]!.file)
  const floor = await prepareFloor(croft, 'model', memory)
  await croft.do('rm', 'model', '--yes')
  for (let round = 0; round < rounds; round++) {
    await spareWaits(croft)
    figures.add('`croft new` with a spare', await newVm(croft, {}))
    figures.add('`croft new`', await newVm(croft, {}))
    await spareWaits(croft)
    figures.add('floor', await floor())
    if (round >= slowRounds) continue
    figures.add('`croft new --cold`', await newVm(croft, { cold: true }))
    const ssh = await virtInstall(croft)
    figures.add('`virt-install --import`', { usable: Number.NaN, ssh })
  }
  return figures.all
}

/** Resolves when the next spare is ready, so that making it disturbs nothing. */
async function spareWaits(croft: Croft): Promise<void> {
  for (;;) {
    const { vms, operations } = await croft.state()
    if (Object.values(vms).some((vm) => vm.phase === 'spare') && Object.keys(operations).length === 0) return
    await delay(200)
  }
}

function makeFigures(names: readonly string[]) {
  const rows = new Map(names.map((name) => [name, { usable: [] as number[], ssh: [] as number[] }]))
  return {
    add(name: string, { usable, ssh }: Times) {
      if (!Number.isNaN(usable)) rows.get(name)!.usable.push(usable)
      rows.get(name)!.ssh.push(ssh)
    },
    get all(): Figure[] {
      return [...rows].flatMap(([name, { usable, ssh }]) => [
        ...(usable.length ? [{ what: `${name} → usable`, unit: 'ms' as const, values: usable }] : []),
        { what: `${name} → first SSH command`, unit: 'ms' as const, values: ssh },
      ])
    },
  }
}

/** Makes a VM by the API, enters it by SSH as a user would, and deletes it. */
async function newVm(croft: Croft, args: object): Promise<Times> {
  const began = performance.now()
  const made = await croft.ask('new', { name: 'bench', ...args })
  const usable = performance.now() - began
  await firstSsh(join(croft.folder, 'keys/daemon_ed25519'), made.address)
  const ssh = performance.now() - began
  await croft.do('rm', 'bench', '--yes')
  return { usable, ssh }
}
