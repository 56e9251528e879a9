import type { CheckpointResult } from '../../../daemon/commands/checkpoint-result.ts'
import { ago, bytes } from '../../../daemon/units.ts'
import { freeName, type Vm } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Empty, Trouble } from '../parts.tsx'
import { go, vmPath } from '../route.ts'

/** The checkpoints of a VM as a tree in time. */
export function Checkpoints({ vm }: { vm: Vm }) {
  const { value, problem, again } = useCommand<{ checkpoints: CheckpointResult[] }>('checkpoint ls', { vm: vm.name })
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Looking…</p>
  const { checkpoints } = value
  if (checkpoints.length === 0)
    return (
      <Empty title="No checkpoints yet">
        <p>
          One keeps the disk and the memory as they are now; going back to it undoes everything since.{' '}
          <Act after={again} action={{ command: 'checkpoint', args: { vm: vm.name }, done: 'the checkpoint is taken' }}>
            Take one
          </Act>
        </p>
      </Empty>
    )
  return (
    <ol class="tree">
      {ordered(checkpoints).map(({ checkpoint, depth }) => (
        <li
          key={checkpoint.id}
          class={checkpoint.current ? 'current' : undefined}
          style={{ marginLeft: `${Math.min(depth, 8) * 24}px` }}
        >
          <b>{checkpoint.label}</b>{' '}
          <span class="soft">
            {ago(checkpoint.createdAt, new Date())} · {bytes(checkpoint.diskBytes)} disk
            {checkpoint.memory ? ` · ${bytes(checkpoint.memoryBytes)} memory` : ' · no memory'}
            {checkpoint.kind !== 'asked' && ` · ${checkpoint.kind}`}
            {checkpoint.current && ' · the VM goes on from here'}
          </span>
          <span class="buttons">
            <Act
              after={again}
              action={{
                command: 'restore',
                args: { vm: vm.name, label: checkpoint.label },
                done: `${vm.name} is as it was`,
              }}
            >
              Go back to it
            </Act>
            <Fork vm={vm} label={checkpoint.label} />
            <Act
              kind="quiet"
              after={again}
              action={{
                command: 'checkpoint rm',
                args: { vm: vm.name, label: checkpoint.label },
                done: `${checkpoint.label} is gone`,
              }}
            >
              Delete
            </Act>
          </span>
        </li>
      ))}
    </ol>
  )
}

function Fork({ vm, label }: { vm: Vm; label: string }) {
  return (
    <Act
      kind="quiet"
      after={(made) => go(vmPath((made as Vm).name))}
      action={{
        command: 'restore',
        args: { vm: vm.name, label, as: freeName(`${vm.name}-${label}`) },
        done: 'the copy is ready',
      }}
    >
      New VM of it
    </Act>
  )
}

/** Each beneath the one that it goes on from, the oldest first. Pure. */
function ordered(all: readonly CheckpointResult[]): { checkpoint: CheckpointResult; depth: number }[] {
  const labels = new Set(all.map(({ label }) => label))
  const beneath = (parent: string | null, depth: number): { checkpoint: CheckpointResult; depth: number }[] =>
    all
      .filter((each) => (each.parent !== null && labels.has(each.parent) ? each.parent : null) === parent)
      .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
      .flatMap((checkpoint) => [{ checkpoint, depth }, ...beneath(checkpoint.label, depth + 1)])
  return beneath(null, 0)
}
