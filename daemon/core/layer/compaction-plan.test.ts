import { describe, expect, test } from 'vitest'
import { emptyState, type State } from '../../store/schema/state.ts'
import type { Vm } from '../../store/schema/vm.ts'
import { nextCompaction } from './compaction-plan.ts'

/**
 * A state in short notation: each layer as `id<parent`, VMs by name with their disk, checkpoints by their layer.
 * The image's layer is `lay_i`.
 */
function stateOf(layers: string, vms: Record<string, string>, checkpoints = ''): State {
  const state = emptyState('test')
  const words = (text: string) => text.split(' ').filter(Boolean)
  const layer = (id: string, parent: string | null) => ({ id, parent, file: `layers/${id}.qcow2`, createdAt: '' })
  return {
    ...state,
    layers: Object.fromEntries(
      ['i', ...words(layers)].map((each) => {
        const [id, parent] = each.split('<')
        return [id!, layer(id!, parent ?? null)]
      }),
    ),
    vms: Object.fromEntries(Object.entries(vms).map(([id, disk]) => [id, { id, disk } as Vm])),
    images: { img: { id: 'img', layer: 'i' } as State['images'][string] },
    checkpoints: Object.fromEntries(
      words(checkpoints).map((at, i) => [`${i}`, { id: `${i}`, layer: at } as State['checkpoints'][string]]),
    ),
  }
}

const plan = (state: State, running = '', busy = '') =>
  nextCompaction(
    state,
    (vm) => running.split(' ').includes(vm.id),
    (vm) => busy.split(' ').includes(vm.id),
  )

describe('nothing is merged', () => {
  test('where every layer is needed for itself', () => {
    expect(plan(stateOf('a<i d<a', { web: 'd' }, 'a'), 'web')).toBeUndefined()
  })

  test('into or out of an image', () => {
    expect(plan(stateOf('d<i', { web: 'd' }))).toBeUndefined()
  })

  test('where two stand on the same layer', () => {
    expect(plan(stateOf('a<i d<a e<a', { web: 'd', copy: 'e' }))).toBeUndefined()
  })

  test('while an operation works on a VM on top', () => {
    expect(plan(stateOf('a<i b<a d<b', { web: 'd' }, 'b'), 'web', 'web')).toBeUndefined()
  })

  test('in a layer that an operation names', () => {
    const id = 'lay_aaaaaaaaaa'
    const state = stateOf(`${id}<i d<${id}`, { web: 'd' })
    const operation = { id: 'op_aaaaaaaaaa', kind: 'restore', startedAt: '', vm: 'other', checkpoint: '' } as const
    const disk = { ...state.layers.d!, id: 'lay_bbbbbbbbbb', parent: id }
    expect(plan(state)).toMatchObject({ gone: [id] })
    expect(plan({ ...state, operations: { op: { ...operation, disk } } })).toBeUndefined()
  })

  test('in a layer that several running VMs have open', () => {
    expect(plan(stateOf('a<i b<a d<b e<b', { web: 'd', copy: 'e' }, 'b'), 'web copy')).toBeUndefined()
  })
})

describe('layers beneath a disk', () => {
  const state = stateOf('a<i b<a d<b', { web: 'd' })

  test('take its data by a commit while its VM runs', () => {
    expect(plan(state, 'web')).toEqual({
      way: 'commit',
      layer: 'd',
      gone: ['b', 'a'],
      above: null,
      by: 'web',
      vms: ['web'],
    })
  })

  test('are copied into it while it does not run', () => {
    expect(plan(state)).toMatchObject({ way: 'rebase', layer: 'd', gone: ['b', 'a'], by: null, vms: ['web'] })
  })

  test('go, down to the first that is needed', () => {
    expect(plan(stateOf('a<i b<a c<b d<c', { web: 'd' }, 'a'), 'web')).toMatchObject({ gone: ['c', 'b'] })
  })
})

describe('layers beneath a checkpoint', () => {
  const state = stateOf('a<i b<a c<b d<c', { web: 'd' }, 'c')

  test('are merged by the one VM that runs on it', () => {
    expect(plan(state, 'web')).toEqual({
      way: 'commit',
      layer: 'c',
      gone: ['b', 'a'],
      above: 'd',
      by: 'web',
      vms: ['web'],
    })
  })

  test('are merged in a copy when no VM runs on it', () => {
    expect(plan(state)).toMatchObject({ way: 'copy', layer: 'c', gone: ['b', 'a'], above: null, by: null })
  })

  test('wait until all but one of the VMs on it have ended', () => {
    const forked = stateOf('a<i c<a f<c d<f e<f', { web: 'd', copy: 'e' }, 'c')
    expect(plan(forked, 'web copy')).toBeUndefined()
    expect(plan(forked, 'web')).toMatchObject({ way: 'commit', layer: 'c', above: 'f', vms: ['web', 'copy'] })
  })
})

describe('a layer in the middle with forks on it', () => {
  const state = stateOf('a<i b<a c<b d<c e<c', { web: 'd', copy: 'e' })

  test('stays, and those beneath it go while nothing runs', () => {
    expect(plan(state)).toMatchObject({ way: 'copy', layer: 'c', gone: ['b', 'a'], vms: ['web', 'copy'] })
  })

  test('keeps its file while a VM runs on it: those beneath it become one', () => {
    expect(plan(state, 'copy')).toMatchObject({ way: 'commit', layer: 'b', gone: ['a'], above: 'c', by: 'copy' })
    expect(plan(stateOf('a<i c<a d<c e<c', { web: 'd', copy: 'e' }), 'copy')).toBeUndefined()
  })

  test('does not block the layers above it', () => {
    expect(plan(stateOf('c<i d<c f<c e<f', { web: 'd', copy: 'e' }), 'web copy')).toMatchObject({
      way: 'commit',
      layer: 'e',
      gone: ['f'],
      by: 'copy',
    })
  })
})
