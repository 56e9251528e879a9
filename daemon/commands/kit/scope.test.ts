import { describe, expect, test } from 'vitest'
import { everything, type Scope } from '../../core/access/principal.ts'
import { CroftError } from '../../lib/error.ts'
import type { State } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { candidates } from '../box/complete.ts'
import { commands } from '../index.ts'
import { parameters } from './line.ts'
import { checkScope, isLimited, maySee } from './scope.ts'

const vm = (id: string, name: string, tags: string[] = [], phase = 'ready') => ({
  id,
  name,
  tags,
  phase,
  web: { port: 8080, public: [8000] },
})
const state = {
  ...emptyState('test'),
  vms: {
    v1: vm('v1', 'web', ['ci', 'shop']),
    v2: vm('v2', 'build', ['ci']),
    v3: vm('v3', 'secret', ['prod']),
    v4: vm('v4', 'spare-1', [], 'spare'),
  },
  images: { i: { name: 'debian', current: true } },
  keys: { 'SHA256:x': { name: 'laptop' } },
  checkpoints: {
    c1: { id: 'c1', vm: 'v1', label: 'before-upgrade', kind: 'asked', createdAt: '' },
    c2: { id: 'c2', vm: 'v3', label: 'before-release', kind: 'asked', createdAt: '' },
  },
} as unknown as State

const web: Scope = { ...everything, vm: 'v1' }
const ci: Scope = { ...everything, tag: 'ci' }
const few: Scope = { ...everything, commands: ['ls', 'show', 'login', 'key add', 'tag'] }

/** The outcome: `fine`, or the message. */
function outcome(scope: Scope, name: string, given: Record<string, unknown> = {}, now = state): string {
  const command = commands.find((each) => each.name === name)!
  try {
    checkScope(scope, command, given, now)
    return 'fine'
  } catch (error) {
    expect(error).toBeInstanceOf(CroftError)
    const { code, message, hint } = error as CroftError
    expect(code).toBe('not-allowed')
    return `${message} ${hint ?? ''}`
  }
}

describe('a limited caller', () => {
  test('with one VM can use only that VM', () => {
    expect(outcome(web, 'show', { vm: 'web' })).toBe('fine')
    expect(outcome(web, 'show', { vm: 'v1' })).toBe('fine')
    expect(outcome(web, 'show', { vm: 'build' })).toContain('Your access is limited to web.')
  })

  test('with a tag can use each VM that has the tag now', () => {
    expect(outcome(ci, 'rm', { vm: 'web' })).toBe('fine')
    expect(outcome(ci, 'show', { vm: 'build' })).toBe('fine')
    expect(outcome(ci, 'show', { vm: 'secret' })).toContain('Your access is limited to VMs tagged "ci".')
    const later = { ...state, vms: { ...state.vms, v2: { ...state.vms.v2!, tags: [] } } }
    expect(outcome(ci, 'show', { vm: 'build' }, later)).not.toBe('fine')
  })

  test.each([web, ci])('does not learn whether another VM exists: %j', (scope) => {
    for (const name of ['ssh', 'rm', 'logs', 'activity', 'share ls', 'cp'])
      expect(outcome(scope, name, { vm: 'secret' })).toBe(outcome(scope, name, { vm: 'nothing' }))
  })

  test.each([web, ci])('never sees the name of another VM, whatever command it runs: %j', (scope) => {
    const others = scope.vm ? /secret|build|spare-1/ : /secret|spare-1/
    for (const command of commands.filter(({ touches }) => touches !== 'nothing')) {
      const asks = parameters(command).some(({ complete }) => complete === 'vm')
      for (const given of [{}, { vm: 'secret' }, { vm: 'secre' }, { vm: '' }, { vm: 'v3' }, { vm: 'v4' }]) {
        const said = outcome(scope, command.name, given)
        expect(said).not.toMatch(others)
        if (asks && 'vm' in given) expect([command.name, said]).not.toEqual([command.name, 'fine'])
      }
    }
  })

  test('with some VMs can run commands that list VMs, and none that cover the whole box', () => {
    for (const scope of [web, ci]) {
      for (const name of ['ls', 'top', 'share ls', 'activity', 'complete']) expect(outcome(scope, name)).toBe('fine')
      for (const name of ['new', 'stat', 'key ls', 'token ls', 'session ls', 'image ls', 'doctor', 'domain ls'])
        expect([name, outcome(scope, name)]).not.toEqual([name, 'fine'])
      expect(outcome(scope, 'box df')).toContain('Your access is limited')
      for (const name of ['key rm', 'key rename']) expect(outcome(scope, name, { key: 'laptop' })).not.toBe('fine')
    }
  })

  test('cannot gain access by granting it, not even to its own VMs', () => {
    for (const scope of [web, ci, few]) {
      expect(outcome(scope, 'login')).not.toBe('fine')
      expect(outcome(scope, 'key add', { key: 'x' })).not.toBe('fine')
    }
    for (const scope of [web, ci]) {
      for (const name of ['token new', 'key add']) expect(outcome(scope, name, { vm: 'web' })).not.toBe('fine')
      expect(outcome(scope, 'tag', { vm: 'web', tags: ['prod'] })).toContain('You may not run tag')
      expect(outcome(scope, 'tag', { vm: 'web', remove: ['ci'] })).toContain('You may not run tag')
      expect(outcome(scope, 'rename', { vm: 'web', to: 'shop' })).toBe('fine')
    }
    expect(outcome(few, 'tag', { vm: 'web', tags: ['prod'] })).toBe('fine')
  })

  test('with some commands can run those, and is told which', () => {
    expect(outcome(few, 'show', { vm: 'secret' })).toBe('fine')
    expect(outcome(few, 'rm', { vm: 'web' })).toBe('You may not run rm. You may run: ls, show, login, key add, tag')
    expect(outcome({ ...everything, commands: [] }, 'ls')).toBe('You may not run ls. You may not run any command.')
    expect(outcome({ ...everything, commands: [] }, 'help')).toBe('fine')
  })

  test('is recognized as limited', () => {
    expect([everything, web, ci, few].map(isLimited)).toEqual([false, true, true, true])
    expect(
      Object.values(state.vms)
        .filter((each) => maySee(ci, each))
        .map(({ name }) => name),
    ).toEqual(['web', 'build'])
  })
})

describe('completion', () => {
  const next = (scope: Scope, ...words: string[]) => candidates(commands, state, scope, words, async () => [3000, 8080])
  const values = async (scope: Scope, ...words: string[]) =>
    (await next(scope, ...words)).filter((word) => !word.startsWith('-'))

  test('offers the names of those VMs only, and no keys or images', async () => {
    expect(await next(everything, 'start', '')).toEqual(expect.arrayContaining(['web', 'build', 'secret']))
    expect(await next(everything, 'start', 'spare')).toEqual([])
    expect(await values(ci, 'start', '')).toEqual(['web', 'build'])
    expect(await values(web, 'start', '')).toEqual(['web'])
    for (const scope of [web, ci]) {
      expect(await next(scope, 'start', 'sec')).toEqual([])
      expect(await next(scope, 'new', '--image', '')).toEqual([])
      expect(await next(scope, 'key', 'rm', 'l')).toEqual([])
    }
    expect(await next(everything, 'new', '--image', '')).toEqual(['debian'])
    expect(await next(everything, 'key', 'rm', 'l')).toEqual(['laptop'])
  })

  test.each([
    ['ls --state a', ['awake', 'asleep']],
    ['new --priority ', ['low', 'normal', 'high']],
    ['stat web --range ', ['1h', '24h', '7d', '30d']],
    ['completion ', ['bash', 'zsh', 'fish']],
    ['share public web ', ['3000', '8000', '8080']],
    ['share link web --port 8', ['8000', '8080']],
    ['restore web be', ['before-upgrade']],
    ['ls --tag s', ['shop']],
    ['tag build ci ', ['ci', 'prod', 'shop']],
    ['start web ', []],
    ['push web ', []],
    ['new --setup-script ', []],
  ])('offers values for the argument at that place: croft %s', async (line, expected) => {
    expect(await values(everything, ...line.split(' '))).toEqual(expected)
  })

  test('leaves the caller’s files to the shell', async () => {
    expect(await next(everything, 'push', 'web', '')).toEqual([])
    expect(await next(everything, 'push', 'web', '--u')).toEqual(['--user'])
  })

  test('offers ports, checkpoints and tags of visible VMs only', async () => {
    expect(await values(ci, 'share', 'public', 'secret', '')).toEqual([])
    expect(await values(ci, 'restore', 'secret', '')).toEqual([])
    expect(await values(ci, 'ls', '--tag', '')).toEqual(['ci', 'shop'])
  })
})
