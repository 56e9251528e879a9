import { useComputed, useSignal } from '@preact/signals'
import { inventWith } from '../../../daemon/box/invent-name.ts'
import { vmNamed } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Form } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
import { running } from '../run.ts'

const suggested = (): string =>
  inventWith(
    (name) => vmNamed(name) !== undefined,
    (below) => Math.floor(Math.random() * below),
  )

export function NewView() {
  const name = useSignal(suggested())
  const more = useSignal<Record<string, string>>({})
  const { value: images } = useCommand<{ images: { name: string; current: boolean }[] }>('image ls')
  const lines = (text = '') => text.split('\n').filter((line) => line.trim())
  const args = useComputed(() => {
    const { image, cpu, memory, disk, env, tags, comment, setupScript } = more.value
    return {
      ...(name.value.trim() && { name: name.value.trim() }),
      ...(image && { image }),
      ...(cpu && { cpu: Number(cpu) }),
      ...(memory && { memory }),
      ...(disk && { disk }),
      ...(lines(env).length > 0 && { env: lines(env) }),
      ...(tags?.trim() && { tag: tags.trim().split(/[\s,]+/) }),
      ...(comment && { comment }),
      ...(setupScript && { setupScript }),
    }
  })
  const field = (key: string) => ({
    id: key,
    value: more.value[key] ?? '',
    onInput: (event: { currentTarget: { value: string } }) => {
      more.value = { ...more.value, [key]: event.currentTarget.value }
    },
  })
  return (
    <section class="new">
      <h1>New VM</h1>
      <Form kind="form">
        <label for="name">Name</label>
        <input
          id="name"
          class="mono"
          autocomplete="off"
          spellcheck={false}
          autofocus
          value={name.value}
          onInput={(event) => {
            name.value = event.currentTarget.value
          }}
        />
        {(images?.images.length ?? 0) > 1 && (
          <>
            <label for="image">Image</label>
            <select id="image" onChange={field('image').onInput}>
              {images!.images
                .filter(({ current }) => current)
                .map((image) => (
                  <option key={image.name}>{image.name}</option>
                ))}
            </select>
          </>
        )}
        <details>
          <summary>More</summary>
          <p class="soft">A VM shares the CPUs and memory of the box. Limits are only for where you want them.</p>
          <div class="fields">
            <div>
              <label for="cpu">CPUs at most</label>
              <input {...field('cpu')} inputMode="numeric" placeholder="as the box has it" />
            </div>
            <div>
              <label for="memory">Memory at most</label>
              <input {...field('memory')} placeholder="4G" />
            </div>
            <div>
              <label for="disk">Disk at most</label>
              <input {...field('disk')} placeholder="64G" />
            </div>
          </div>
          <label for="env">Environment, one NAME=value a line</label>
          <textarea {...field('env')} class="mono" rows={3} />
          <label for="setupScript">Set-up script, runs in it once</label>
          <textarea {...field('setupScript')} class="mono" rows={5} placeholder="#!/bin/bash" />
          <label for="tags">Tags</label>
          <input {...field('tags')} placeholder="shop staging" />
          <label for="comment">What it is for</label>
          <input {...field('comment')} />
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

/** How far it is. */
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
