import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runScript } from '../../daemon/guest/agent.ts'
import { personalizeScript } from '../../daemon/guest/personalize.ts'
import { type Croft, cache, names, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'
import { type Figure, timed } from './figures.ts'

const rounds = 3

/**
 * From the command to the first SSH command that works, cold: `croft new`, and in turn with it `virt-install --import`
 * of an overlay on the same disk with the same kernel, told who it is by the same script through the same agent.
 */
export async function bootFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  const ours: Figure = { what: '`croft new` to first SSH command', unit: 's', values: [] }
  const theirs: Figure = { what: '`virt-install --import` to first SSH command', unit: 's', values: [] }
  for (let round = 0; round < rounds; round++) {
    ours.values.push(
      (await timed(async () => {
        await croft.do('new', 'bench')
        await croft.do('exec', 'bench', 'true')
      })) / 1000,
    )
    await croft.do('rm', 'bench', '--yes')
    theirs.values.push((await virtInstall(croft)) / 1000)
  }
  return [ours, theirs]
}

async function virtInstall(croft: Croft): Promise<number> {
  const image = Object.values((await croft.state()).images)[0]!
  const layer = (await croft.state()).layers[image.layer]!
  const folder = await mkdtemp(join(cache, 'virt-install-'))
  const domain = 'croft-bench-virt-install'
  const [mac, ip] = ['52:54:00:be:bc:01', names.subnet.replace('0.0/16', '250.1')]
  const virsh = (...args: string[]) => must('virsh', ['-q', ...args])
  try {
    await must('chmod', ['711', folder])
    await must('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-b',
      join(croft.folder, layer.file),
      '-F',
      'qcow2',
      join(folder, 'disk.qcow2'),
    ])
    await virsh('net-update', names.name, 'add', 'ip-dhcp-host', `<host mac='${mac}' ip='${ip}'/>`, '--live')
    await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'key')])
    const script = personalizeScript({
      name: 'bench',
      machineId: 'b'.repeat(32),
      hostKey: {
        private: await readFile(join(folder, 'key'), 'utf8'),
        public: await readFile(join(folder, 'key.pub'), 'utf8'),
      },
      authorizedKeys: [await readFile(join(folder, 'key.pub'), 'utf8')],
      env: {},
      now: Date.now() / 1000,
    })
    const boot = `kernel=${join(croft.folder, image.kernel)},initrd=${join(croft.folder, image.initrd)},kernel_args=${image.cmdline}`
    return await timed(async () => {
      await must('virt-install', [
        ...[
          '--name',
          domain,
          '--memory',
          '4096',
          '--vcpus',
          '2',
          '--import',
          '--disk',
          `${folder}/disk.qcow2,bus=virtio`,
        ],
        ...[
          '--network',
          `network=${names.name},mac=${mac},model=virtio,target.dev=${names.tapPrefix}benchbench`,
          '--graphics',
          'none',
          '--virt-type',
          'qemu',
        ],
        ...[
          '--osinfo',
          'linux2022',
          '--boot',
          boot,
          '--noautoconsole',
          '--channel',
          'unix,target.type=virtio,name=org.qemu.guest_agent.0',
        ],
      ])
      await must('nft', [
        'add',
        'element',
        'bridge',
        names.table,
        'vms',
        `{ "${names.tapPrefix}benchbench" . ${mac} . ${ip} }`,
      ])
      await must('nft', [
        'add',
        'element',
        'bridge',
        names.table,
        'askers',
        `{ "${names.tapPrefix}benchbench" . ${mac} . 0x${mac.replaceAll(':', '')} }`,
      ])
      const agent = async (_: string, command: object) =>
        (
          JSON.parse(await virsh('qemu-agent-command', domain, JSON.stringify(command), '--timeout', '5')) as {
            return: unknown
          }
        ).return
      await until(() => agent(domain, { execute: 'guest-ping' }))
      await runScript(agent, domain, script)
      await until(() =>
        must('ssh', [
          '-F',
          'none',
          '-i',
          join(folder, 'key'),
          ...[
            'StrictHostKeyChecking=no',
            'UserKnownHostsFile=/dev/null',
            'BatchMode=yes',
            'ConnectTimeout=5',
            'LogLevel=ERROR',
          ].flatMap((option) => ['-o', option]),
          `dev@${ip}`,
          'true',
        ]),
      )
    })
  } finally {
    await program('virsh', ['-q', 'destroy', domain])
    await program('virsh', ['-q', 'undefine', domain])
    await program('virsh', [
      '-q',
      'net-update',
      names.name,
      'delete',
      'ip-dhcp-host',
      `<host mac='${mac}' ip='${ip}'/>`,
      '--live',
    ])
    await rm(folder, { recursive: true, force: true })
  }
}

/** virt-install has no event to wait for: asks again until it works, for at most two minutes. */
async function until(works: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await works()
      return
    } catch (error) {
      if (tries > 1200) throw error
      await delay(100)
    }
  }
}
