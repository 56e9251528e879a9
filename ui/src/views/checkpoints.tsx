import { useSignal } from '@preact/signals'
import type { CheckpointResult } from '../../../daemon/commands/results/checkpoint.ts'
import { bytes } from '../../../daemon/lib/text/units.ts'
import { freeName, type VmView } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Ago, Choose, Empty, Field, Form, Trouble } from '../parts.tsx'
import { go, vmPath } from '../route.ts'

interface Listing {
  checkpoints: CheckpointResult[]
  schedule: { hourly: number; daily: number }
}

/** The checkpoints of a VM as a tree in time. */
export function Checkpoints({ vm }: { vm: VmView }) {
  const { value, problem, again } = useCommand<Listing>('checkpoint ls', { vm: vm.name })
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Loading…</p>
  const { checkpoints, schedule } = value
  const largest = Math.max(...checkpoints.map(({ layerBytes, savedMemoryBytes }) => layerBytes + savedMemoryBytes))
  return (
    <>
      {checkpoints.length === 0 && (
        <Empty title="No checkpoints yet">
          <p>A checkpoint keeps the disk and the memory as they are now. Going back to it undoes everything since.</p>
        </Empty>
      )}
      <ol class="tree">
        {ordered(checkpoints).map(({ checkpoint, depth }) => (
          <li
            key={checkpoint.id}
            class={checkpoint.current ? 'current' : undefined}
            style={{ marginLeft: `${Math.min(depth, 8) * 24}px` }}
          >
            <b>{checkpoint.label}</b>
            <SizeBar of={checkpoint} largest={largest} />
            <span class="soft">
              <Ago at={checkpoint.createdAt} /> · {bytes(checkpoint.layerBytes)} disk
              {checkpoint.memory ? ` · ${bytes(checkpoint.savedMemoryBytes)} memory` : ' · no memory'}
              {checkpoint.kind !== 'asked' && ` · ${checkpoint.kind}`}
              {checkpoint.current && ' · the VM continues from here'}
            </span>
            <span class="buttons">
              <Act
                after={again}
                action={{
                  command: 'restore',
                  args: { vm: vm.name, label: checkpoint.label },
                  done: `${vm.name} is restored`,
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
                  done: `${checkpoint.label} is deleted`,
                }}
              >
                Delete
              </Act>
            </span>
          </li>
        ))}
      </ol>
      {checkpoints.length > 0 && (
        <p class="soft">Going back first takes a checkpoint of the current state, so that you can undo it too.</p>
      )}
      <Take vm={vm} again={again} />
      <Clock vm={vm} schedule={schedule} again={again} />
    </>
  )
}

/** A checkpoint's size relative to the others: its disk, then its memory. */
function SizeBar({ of, largest }: { of: CheckpointResult; largest: number }) {
  const width = (count: number) => `${((100 * count) / Math.max(1, largest)).toFixed(1)}%`
  return (
    <span class="size" aria-hidden="true">
      <i style={{ width: width(of.layerBytes) }} />
      <i style={{ width: width(of.savedMemoryBytes) }} />
    </span>
  )
}

function Take({ vm, again }: { vm: VmView; again(): void }) {
  const label = useSignal('')
  const named = label.value.trim()
  return (
    <Form kind="row">
      <div>
        <Field id="label" label="Label of a new checkpoint" of={label} placeholder="default: c1, c2, …" mono />
      </div>
      <Act
        action={{
          command: 'checkpoint',
          args: { vm: vm.name, ...(named && { label: named }) },
          done: 'the checkpoint is taken',
        }}
        after={() => {
          label.value = ''
          again()
        }}
      >
        Take checkpoint
      </Act>
    </Form>
  )
}

/** Scheduled checkpoints. */
function Clock({ vm, schedule, again }: { vm: VmView; schedule: Listing['schedule']; again(): void }) {
  const keep = useSignal('')
  const { hourly, daily } = schedule
  const kept = [hourly && `${hourly} hourly`, daily && `${daily} daily`].filter(Boolean)
  return (
    <section>
      <h2>Schedule</h2>
      <p class="soft">
        {kept.length > 0
          ? `The latest ${kept.join(' and ')} checkpoints are kept.`
          : 'There are no scheduled checkpoints.'}
      </p>
      <Form kind="row">
        <div>
          <Choose
            id="keep"
            label="Keep the latest"
            of={keep}
            options={[
              ['', 'as now'],
              ['hourly=24 daily=7', '24 hourly and 7 daily'],
              ['daily=7', '7 daily'],
              ['daily=30', '30 daily'],
              ['off', 'none: turn the schedule off'],
            ]}
          />
        </div>
        <Act
          disabled={!keep.value}
          action={{
            command: 'checkpoint auto',
            args: { vm: vm.name, keep: keep.value.split(' ') },
            done: keep.value === 'off' ? 'the schedule is off' : 'the schedule is set',
          }}
          after={() => {
            keep.value = ''
            again()
          }}
        >
          Set
        </Act>
      </Form>
    </section>
  )
}

function Fork({ vm, label }: { vm: VmView; label: string }) {
  return (
    <Act
      kind="quiet"
      after={(made) => go(vmPath((made as VmView).name))}
      action={{
        command: 'restore',
        args: { vm: vm.name, label, as: freeName(`${vm.name}-${label}`) },
        done: 'the copy is ready',
      }}
    >
      New VM from it
    </Act>
  )
}

/** Orders checkpoints as a tree: each below the one that it continues from, the oldest first. Pure. */
function ordered(all: readonly CheckpointResult[]): { checkpoint: CheckpointResult; depth: number }[] {
  const labels = new Set(all.map(({ label }) => label))
  const beneath = (parent: string | null, depth: number): { checkpoint: CheckpointResult; depth: number }[] =>
    all
      .filter((each) => (each.parent !== null && labels.has(each.parent) ? each.parent : null) === parent)
      .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
      .flatMap((checkpoint) => [{ checkpoint, depth }, ...beneath(checkpoint.label, depth + 1)])
  return beneath(null, 0)
}
