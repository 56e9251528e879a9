import { signal } from '@preact/signals'
import { type ApiProblem, type ApiProgress, type Args, call } from './api.ts'
import { refresh } from './box.ts'
import { lineOf } from './line.ts'

export interface UserAction {
  /** Name of the command, such as `share public`. */
  command: string
  args: Args
  /** More actions of the same kind that run together with this one. */
  also?: readonly UserAction[]
  /** The words on the button. */
  verb?: string
  /** The message when it is done. */
  done?: string
}

export interface Running extends UserAction {
  id: number
  progress?: ApiProgress
  /** How it ended. */
  outcome?: 'done' | ApiProblem
}

/** The actions that the console has started, the newest last; finished ones disappear after a moment. */
export const running = signal<readonly Running[]>([])
/** The action under the pointer or the keyboard focus. */
export const pointedAt = signal<UserAction | undefined>(undefined)
/** The daemon's questions before data is lost. */
export const question = signal<
  { words: readonly string[]; action: UserAction; answer(yes: boolean): void } | undefined
>(undefined)

let count = 0
const staysMs = 4000
/** How many parts of one action run at the same time. */
const together = 4

const wholeOf = (action: UserAction): readonly UserAction[] => [action, ...(action.also ?? [])]

/** Returns the command lines of everything that an action does. */
export const linesOf = (action: UserAction, more: Args = {}): string =>
  wholeOf(action)
    .map(({ command, args }) => lineOf(command, { ...args, ...more }))
    .join('; ')

function note(id: number, change: Partial<Running>): void {
  running.value = running.value.map((each) => (each.id === id ? { ...each, ...change } : each))
}

/** Removes an action from the bar. */
export function forget(id: number): void {
  running.value = running.value.filter((each) => each.id !== id)
}

/**
 * Runs a command, shows its progress, and asks before data is lost.
 * @param atForm shows an error in the form instead of in the bar @returns its result; undefined when it failed or was
 * declined
 */
export async function runAction<R>(action: UserAction, atForm?: (problem: ApiProblem) => void): Promise<R | undefined> {
  const id = ++count
  running.value = [...running.value.filter(({ outcome }) => outcome === undefined), { ...action, id }]
  const problems: ApiProblem[] = []
  const results: R[] = []
  const asks: { each: UserAction; words: string }[] = []
  const all = wholeOf(action)
  const attempt = async (each: UserAction, more: Args = {}) => {
    try {
      results.push(await call<R>(each.command, { ...each.args, ...more }, (progress) => note(id, { progress })))
      if (all.length > 1) note(id, { progress: partDone(results.length, all.length) })
    } catch (error) {
      const problem = error as ApiProblem
      if (problem.code === 'needs-confirmation') asks.push({ each, words: problem.message })
      else problems.push(problem)
    }
  }
  await someAtOnce(all, (each) => attempt(each))
  if (asks.length > 0) {
    // The answers arrive in any order.
    asks.sort((a, b) => all.indexOf(a.each) - all.indexOf(b.each))
    const yes = await new Promise<boolean>((answer) => {
      question.value = { words: asks.map(({ words }) => words), action, answer }
    })
    question.value = undefined
    if (yes) await someAtOnce(asks.splice(0), ({ each }) => attempt(each, { yes: true }))
  }
  if (results.length > 0) void refresh()
  if (problems.length > 0 && atForm) {
    atForm(problems[0]!)
    forget(id)
  } else if (problems.length > 0) note(id, { outcome: problems[0]! })
  else if (results.length === 0) forget(id)
  else {
    note(id, { outcome: 'done' })
    setTimeout(() => forget(id), staysMs)
  }
  return problems.length === 0 ? results[0] : undefined
}

const partDone = (ended: number, of: number): ApiProgress => ({
  subject: '',
  step: `${ended} of ${of}`,
  fraction: ended / of,
})

async function someAtOnce<T>(all: readonly T[], each: (one: T) => Promise<void>): Promise<void> {
  const queue = [...all]
  const take = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await each(next)
  }
  await Promise.all(Array.from({ length: Math.min(together, queue.length) }, take))
}
