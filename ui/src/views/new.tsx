import { useComputed, useSignal } from '@preact/signals'
import type { ImageResult } from '../../../daemon/commands/image/image-ls.ts'
import { inventWith } from '../../../daemon/core/vm/invent-name.ts'
import { mebibytes } from '../../../daemon/lib/text/units.ts'
import { shownVm } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Choose, Field, Form } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
import { running } from '../run.ts'
import { numberIn } from '../words.ts'

const suggested = (): string =>
  inventWith(
    (name) => shownVm(name) !== undefined,
    (below) => Math.floor(Math.random() * below),
  )

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line.trim())

export function NewView() {
  const name = useSignal(suggested())
  const [image, cpu, memory, disk] = [useSignal(''), useSignal(''), useSignal(''), useSignal('')]
  const [env, setupScript, tags, comment] = [useSignal(''), useSignal(''), useSignal(''), useSignal('')]
  const { value } = useCommand<{ images: ImageResult[] }>('image ls')
  const images = value?.images.filter(({ current }) => current) ?? []
  const usual = images.find((each) => each.default)
  const gives = (images.find((each) => each.name === image.value) ?? usual)?.gives
  const args = useComputed(() => ({
    ...(name.value.trim() && { name: name.value.trim() }),
    ...(image.value && { image: image.value }),
    ...(cpu.value.trim() && { cpu: numberIn(cpu.value) }),
    ...(memory.value.trim() && { memory: memory.value.trim() }),
    ...(disk.value.trim() && { disk: disk.value.trim() }),
    ...(linesOf(env.value).length > 0 && { env: linesOf(env.value) }),
    ...(tags.value.trim() && { tag: tags.value.trim().split(/[\s,]+/) }),
    ...(comment.value && { comment: comment.value }),
    ...(setupScript.value && { setupScript: setupScript.value }),
  }))
  return (
    <section class="new">
      <h1>New VM</h1>
      <Form kind="form">
        <Field id="name" label="Name" of={name} mono autofocus />
        {images.length > 1 && (
          <Choose
            id="image"
            label="Image"
            of={image}
            options={[
              ...(usual ? [['', usual.name] as const] : [['', 'choose'] as const]),
              ...images.flatMap((each) => (each === usual ? [] : [[each.name, each.name] as const])),
            ]}
          />
        )}
        <details>
          <summary>More</summary>
          <p class="soft">A VM shares the CPUs and memory of the box. Set limits only where you want them.</p>
          <div class="fields">
            <div>
              <Field id="cpu" label="Most CPUs" of={cpu} placeholder={gives && `${gives.cpus}`} />
            </div>
            <div>
              <Field id="memory" label="Most memory" of={memory} placeholder={gives && mebibytes(gives.memoryMiB)} />
            </div>
            <div>
              <Field id="disk" label="Largest disk" of={disk} placeholder={gives && `${gives.diskGiB} GiB`} />
            </div>
          </div>
          <Field id="env" label="Environment, one NAME=value per line" of={env} rows={3} />
          <Field
            id="setupScript"
            label="Set-up script, runs once in the VM"
            of={setupScript}
            rows={5}
            placeholder="#!/bin/bash"
          />
          <Field id="tags" argument="tag" label="Tags" of={tags} placeholder="shop staging" />
          <Field id="comment" label="What it is for" of={comment} />
        </details>
        <p class="buttons">
          <Act
            kind="main"
            action={{ command: 'new', args: args.value, done: `${args.value.name ?? 'the VM'} is ready` }}
            after={(made) => go(vmPath((made as { name: string }).name))}
          >
            Make it
          </Act>
        </p>
      </Form>
      <Making />
    </section>
  )
}

/** The progress of a new VM. */
function Making() {
  const { progress } =
    running.value.findLast(({ command, outcome }) => command === 'new' && outcome === undefined) ?? {}
  if (!progress) return null
  return (
    <p class="soft">
      <progress value={progress.fraction} aria-label="Progress" /> {progress.step}
    </p>
  )
}
